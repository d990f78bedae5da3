"""Run Python where packages are not to be had, as for somebody who did not install them."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# the packages are in this environment, so what finds modules is made blind for them, and it is proven that it is
_WITHOUT = """
import json, os, sys

class Blind:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {absent!r} else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Blind, sys.meta_path)
for name in {absent!r}:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit(name + " can be imported")

printed = []
for directory, code in json.load(sys.stdin):
    os.chdir(directory)
    exec(code, {{"print": lambda value: printed.append(value.tolist())}})
loaded = [name for name in {absent!r} if name in sys.modules]
assert not loaded, loaded
print(json.dumps(printed))
"""


def code_in(directory: Path) -> str:
    """The Python lines of an export's README."""
    text = (directory / "README.md").read_text(encoding="utf-8")
    return text.split("```python\n")[1].split("\n```")[0]


def run_without(absent: Sequence[str], directories: Sequence[Path]) -> list[list[list[float]]]:
    """What the READMEs of directories print when run there, each as nested lists, without some packages."""
    program = _WITHOUT.format(absent=tuple(absent))
    given = json.dumps([(str(directory), code_in(directory)) for directory in directories])
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], input=given, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[list[list[float]]] = json.loads(done.stdout.splitlines()[-1])
    return found
