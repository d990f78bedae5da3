"""A PostgreSQL server of the tests' own, started as an ordinary user; tests skip where none is installed."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, make_url, text

from medforge.aggregator.ledger.ledger import Ledger

_WAIT = 30


@cache
def programs() -> Path | None:
    """Where PostgreSQL's own programs are, or None."""
    found = shutil.which("pg_ctl")
    places = [Path(found).parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((place for place in reversed(places) if (place / "initdb").exists()), None)


class Cluster:
    """A running server; each ledger gets a database of its own in it."""

    def __init__(self, place: Path, programs: Path, user: str | None, port: int) -> None:
        self.place, self.programs, self.user, self.port = place, programs, user, port
        self._template: str | None = None

    def run(self, *command: str | Path) -> None:
        """Run one of PostgreSQL's programs as the user who may."""
        done = subprocess.run(
            [str(self.programs / command[0]), *map(str, command[1:])],
            user=self.user,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            cwd=self.place,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_WAIT,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self.run("pg_ctl", "-D", self.place / "data", "-l", self.place / "log", "-w", "-o", options, "start")

    def stop(self, how: str = "immediate") -> None:
        """Stop the server: `immediate` is as a crash."""
        self.run("pg_ctl", "-D", self.place / "data", "-m", how, "-w", "stop")

    def kill(self) -> None:
        """End the server with all its sessions by SIGKILL; `start` begins it again."""
        pids = self._signal(signal.SIGKILL)
        end = time.monotonic() + _WAIT
        while any(_runs(pid) for pid in pids):
            assert time.monotonic() < end, "it does not end"
            time.sleep(0.02)
        # a zombie that nobody has waited for yet would be taken for a server that runs
        (self.place / "data" / "postmaster.pid").unlink(missing_ok=True)

    def freeze(self, frozen: bool) -> None:
        """Let the server, with all its sessions, fall silent, or go on."""
        self._signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> list[int]:
        pid = int((self.place / "data" / "postmaster.pid").read_text().splitlines()[0])
        # the first forks no more once it has the signal
        os.kill(pid, number)
        children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
        pids = [pid, *map(int, children.split())]
        for one in pids[1:]:
            with suppress(ProcessLookupError):
                os.kill(one, number)
        return pids

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        return self.url(self._create("template1"))

    def new_ledger(self) -> str:
        """Make a ledger that belongs to no forge yet, and return its URL; a copy is made sooner than tables are."""
        if self._template is None:
            template = self._create("template1")
            Ledger(self.url(template)).close()
            self._template = template
        return self.url(self._create(self._template))

    def copy(self, url: str) -> str:
        """Copy a database to which nobody is connected, and return the copy's URL."""
        return self.url(self._create(url.rpartition("/")[2]))

    def _create(self, template: str) -> str:
        name = f"ledger_{uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def url(self, name: str = "postgres") -> str:
        """Return the URL of a database."""
        return f"postgresql+psycopg://tester@127.0.0.1:{self.port}/{name}"

    def cut_locks(self, url: str) -> None:
        """End the sessions that hold an advisory lock in a ledger's database."""
        for pid in self.lock_holders(url):
            self.execute(f"SELECT pg_terminate_backend({pid}, 10000)")

    @contextmanager
    def frozen_locks(self, url: str) -> Iterator[None]:
        """Let the sessions that hold an advisory lock in a ledger's database fall silent for a while."""
        pids = self.lock_holders(url)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def lock_holders(self, url: str) -> list[int]:
        """Return the processes of the sessions that hold an advisory lock in a ledger's database."""
        there = f"(SELECT oid FROM pg_database WHERE datname = '{url.rpartition('/')[2]}')"
        return self.execute(f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = {there}")

    def execute(self, statement: str, url: str | None = None) -> list[Any]:
        """Run a statement as the superuser; return the first column of its rows."""
        engine = create_engine(make_url(url or self.url()), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            done = connection.execute(text(statement))
            found = list(done.scalars()) if done.returns_rows else []
        engine.dispose()
        return found


def _runs(pid: int) -> bool:
    try:
        # a zombie has ended, and who started it has not looked yet
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a private cluster; skips where PostgreSQL or its driver is absent."""
    pytest.importorskip("psycopg", reason="psycopg is not installed; pip install 'medforge[postgres]'")
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed; apt-get install postgresql")
    user = None
    if os.geteuid() == 0:
        # PostgreSQL does not run as root
        user = "postgres"
    place = Path(tempfile.mkdtemp(prefix="medforge-postgres-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Cluster(place, found, user, port)
    if user is not None:
        shutil.chown(place, user)
    try:
        made.run("initdb", "-D", place / "data", "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8")
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(place, ignore_errors=True)
