"""Write the locks that `make install`, a site and a forge install from: `make lock`, which needs a registry.

`base.txt` has the install without extras, each extra's file what comes on top of it, so that a site installs any set of
extras by hash. Versions stay as they are while they fit pyproject.toml; `--upgrade` takes the newest of all, and
`--upgrade-package NAME` of one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from requirements.blocks import blocks
from requirements.pins import BASE, ROOT, lock_file, lock_names, project, read_pins

HEADER = "# Written by `make lock` from pyproject.toml; every file that may be installed, by SHA-256\n"
# universal: one lock for every platform and Python, told apart by markers; no index, for where files come from is the
# installer's choice, and what they are is not
COMPILE = (
    *(sys.executable, "-m", "uv", "pip", "compile", "--quiet"),
    *("--universal", "--generate-hashes", "--no-annotate", "--no-header", "--no-emit-index-url"),
)


def main() -> None:
    """Resolve all extras together, then write what each needs of it."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        everything, build = directory / "everything.txt", directory / "build.in"
        # packages are built without isolation, so that what builds them is locked too
        build.write_text("\n".join(project()["build-system"]["requires"]))
        # uv keeps the versions of the file that it is to write
        everything.write_text("\n".join(lock_file(one).read_text() for one in lock_names() if lock_file(one).exists()))
        _compile(build, everything, "--all-extras", *sys.argv[1:])
        base = _resolve(directory, BASE, build, everything)
        for extra in lock_names():
            found = base if extra == BASE else _resolve(directory, extra, build, everything)
            known = set() if extra == BASE else {pin.text for pin in read_pins(base)}
            new = [block for block in blocks(found) if read_pins(block)[0].text not in known]
            lock_file(extra).write_text(HEADER + "".join(new))
            print(f"{lock_file(extra).relative_to(ROOT)}: {len(new)} packages")


def _resolve(directory: Path, name: str, build: Path, everything: Path) -> str:
    written = directory / f"{name}.txt"
    extras = () if name == BASE else ("--extra", name)
    _compile(build, written, *extras, "--constraint", str(everything))
    return written.read_text()


def _compile(build: Path, written: Path, *options: str) -> None:
    command = [*COMPILE, "pyproject.toml", str(build), "--output-file", str(written), *options]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
