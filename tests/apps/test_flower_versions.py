"""The lowest version of Flower that is declared, and the newest that there is, each in an environment of its own.

Downloads Flower and runs for minutes, so only where it is asked for: `make flower-versions`.
"""

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
# what touches Flower: messages, both sides of the app over a grid in memory, and the names that are imported
TOUCHING = ("tests/proto/test_flower.py", "tests/aggregator/flower", "tests/apps/test_flower_api.py")
APP = "tests/apps/test_flower_app.py::test_nodes_train_and_the_server_folds_them_in_their_turns"


def _declared() -> str:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    flower = next(one for one in map(Requirement, asked) if one.name == "flwr")
    return next(iter(flower.specifier)).version


@pytest.mark.skipif("MEDFORGE_FLOWER_VERSIONS" not in os.environ, reason="runs with `make flower-versions`")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("which", ["lowest", "newest"])
def test_a_version_of_flower_that_people_may_have(which: str, tmp_path: Path) -> None:
    if which == "lowest" and _declared() == version("flwr"):
        pytest.skip(f"flwr {_declared()} is what all other tests run with")
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    found = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    # everything but Flower is what is installed here
    (found / "here.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    asked = f"flwr=={_declared()}" if which == "lowest" else "flwr"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--upgrade", asked]
    done = subprocess.run([*install, "--timeout", "10", "--retries", "0"], capture_output=True, text=True, check=False)
    if done.returncode != 0 and "No matching distribution" in done.stderr:
        pytest.skip("the package registry is not reachable")
    assert done.returncode == 0, done.stderr
    had = subprocess.run(
        [python, "-c", "from importlib.metadata import version; print(version('flwr'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    if had == version("flwr"):
        pytest.skip(f"flwr {had} is what all other tests run with")
    ran = subprocess.run(
        [python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TOUCHING, APP],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-1000:]
