"""Machines on which pages are followed: a forge's with PostgreSQL, a hospital's, and one for keys without network."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image

from medforge.client.data.catalogue import open_task
from tests.docs.follow.steps import MAIN
from tests.docs.follow.terminal import Terminal
from tests.e2e.networks import FORGE, namespaces
from tests.postgres import programs

# what stands in for what this machine does not have, or what no page can bring along
STAND_INS = (
    "medforge is this working copy's, on the path of every place",
    f"forge.example.org is {FORGE}, the forge's end of the cable, by /etc/hosts",
    "every place has a home of its own; commands run as the account that follows, those at=database as PostgreSQL's",
    "PostgreSQL's server was started before, with roles that log in by password over TCP, as Debian's does",
    "the images in the hospital's ~/scans are drawn",
)
_WAIT = 60
_OF_THE_TISSUE = {
    "lung squamous cell carcinomas": "squamous",
    "lung adenocarcinomas": "adenocarcinoma",
    "benign lung tissues": "benign",
}


@dataclass
class Place:
    """A machine, or an account on one: how it is entered, its home, and its open terminals."""

    enter: tuple[str, ...]
    home: Path
    environment: dict[str, str]
    notes: Path
    owner: str | None = None
    terminals: dict[str, Terminal] = field(default_factory=dict)

    def terminal(self, name: str = MAIN) -> Terminal:
        """Return a terminal, opened now if it is not yet."""
        if name not in self.terminals:
            notes = self.notes / f"{self.home.name}-{name}"
            self.terminals[name] = Terminal(self.enter, self.home, self.environment, notes)
        return self.terminals[name]

    def put(self, source: Path, path: str) -> None:
        """Bring a file or a directory here."""
        target = self.home / path
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)

    def close(self) -> None:
        """Close every terminal, with what still runs in it."""
        for terminal in self.terminals.values():
            terminal.close()


@contextmanager
def places() -> Iterator[dict[str, Place]]:
    """The places that pages name; skips where this machine cannot have them."""
    with ExitStack() as stack:
        network = stack.enter_context(namespaces())
        if programs() is None:
            pytest.skip("PostgreSQL is not installed; apt-get install postgresql")
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="medforge-follow-")))
        root.chmod(0o711)
        (root / "notes").mkdir(mode=0o777)
        (root / "notes").chmod(0o777)
        hosts = root / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{FORGE} forge.example.org\n")
        with_hosts = ("sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh")
        ways = {
            "forge": (*network.on_forge, *with_hosts),
            "hospital": (*network.on_site, *with_hosts),
            "database": (*network.on_forge, "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"),
            "safe": ("unshare", "--net"),
        }
        if subprocess.run([*ways["forge"], "true"], check=False, capture_output=True).returncode:
            pytest.skip("this machine lets nobody give a namespace its own /etc/hosts")
        made = {name: _place(root, name, way) for name, way in ways.items()}
        for one in made.values():
            stack.callback(one.close)
        stack.enter_context(_database(made["database"]))
        draw_scans(made["hospital"].home / "scans")
        yield made


def _place(root: Path, name: str, way: tuple[str, ...]) -> Place:
    home = root / name
    home.mkdir(mode=0o700)
    owner = "postgres" if name == "database" else None
    environment = {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{programs()}{os.pathsep}{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
    }
    if owner:
        shutil.chown(home, owner)
        environment["PGHOST"] = str(home)
    return Place(way, home, environment, root / "notes", owner)


@contextmanager
def _database(place: Place) -> Iterator[None]:
    """PostgreSQL as a distribution starts it: port 5432 on loopback by password, its own account without one."""

    def run(*command: str) -> None:
        done = subprocess.run(
            [*place.enter, *command],
            cwd=place.home,
            env=place.environment,
            capture_output=True,
            timeout=_WAIT,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()

    data = str(place.home / "data")
    run("initdb", "-D", data, "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync", "-E", "UTF8")
    # fsync has tests of its own
    options = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories={place.home} -c fsync=off"
    run("pg_ctl", "-D", data, "-l", f"{data}/log", "-w", "-o", options, "start")
    try:
        yield
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def draw_scans(directory: Path) -> None:
    """Draw a hospital's images: one folder a class, called as a hospital might."""
    task = open_task("tissue:lung,train=72,validation=24,test=24", 64)
    for name, split in (("a", task.train), ("b", task.validation), ("c", task.test)):
        for number, label in enumerate(split.labels):
            folder = directory / _OF_THE_TISSUE[task.prompts[int(label)]]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = split.images[[number]][0]
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{name}{number:03}.png")
