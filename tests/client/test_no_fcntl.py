"""The client on a system without `fcntl`, such as Windows."""

import subprocess
import sys

SCRIPT = """
import importlib, pkgutil, sys

sys.modules["fcntl"] = None  # an import of it now raises ModuleNotFoundError
import medforge.client, medforge.proto

for package in (medforge.proto, medforge.client):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
        print(module.name)
"""


def test_every_module_of_the_client_can_be_imported() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"medforge.client.workspace", "medforge.client.work", "medforge.client.data.pixels.store"} <= set(
        done.stdout.split()
    )
