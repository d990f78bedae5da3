"""Push branches to a forge and to a bare gRPC server in turns, by 1, 8 and 50 clients, with and without folding.

The bare server takes a branch's files as one stream, hashes them on the way, and syncs them once before it answers. The
forge does all that a forge does: it asks what is missing, takes each file, checks what the branch holds, and gives a
signed receipt once everything is durable. Both run as processes of their own with one torch thread; a client keeps one
connection for all its branches, and clients share processes of eight. Every branch has bytes of its own.

Memory is the resident set's high-water mark while one large branch is taken in (and, where folding is on, while it is
folded), less what was resident before, as a multiple of the branch's bytes.

Run from the repository's root: ``python -m benchmarks.submit [--json OUT]``. It needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from benchmarks.submit.drive import BARE, FORGE, timed
from benchmarks.submit.forge import OFF, ON
from benchmarks.submit.material import size_of, write_branches
from benchmarks.uploads import forget_peak, resident
from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.files import canonical_json, write_atomically

_START_SECONDS = 180.0
_FOLD_SECONDS = 60.0


@dataclass(frozen=True)
class Round:
    """Branches and bytes that so many clients brought, and the seconds that it took."""

    way: str
    clients: int
    branches: int
    size: int
    seconds: float
    cpu_seconds: float

    @property
    def speed(self) -> float:
        """Branches a second."""
        return self.branches / self.seconds

    def line(self, bare: float) -> str:
        """Return a line of the table beside the baseline's branches a second."""
        megabytes = self.speed * self.size / self.branches / 1e6
        milliseconds = 1e3 * self.cpu_seconds / self.branches
        return (
            f"{self.way:6} {self.clients:3d} clients {self.speed:8.1f} branches/s {megabytes:8.1f} MB/s "
            f"{self.speed / bare:6.0%} of the bare stream, {milliseconds:6.1f} CPU ms of the server's a branch"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all rounds, print them, and write them where asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="medforge-tiny")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 50])
    parser.add_argument("--branches", type=int, default=150, help="branches of a round, at least one a client")
    parser.add_argument("--bytes", type=int, default=550_000, help="size of a branch, about")
    parser.add_argument("--large", type=int, default=47_000_000, help="size of the branch that memory is measured with")
    parser.add_argument("--folds", nargs="+", default=[OFF, ON], choices=[OFF, ON], help="folding")
    parser.add_argument("--no-statistics", action="store_true", help="branches without class statistics")
    parser.add_argument("--directory", type=Path, help="where all is written; default: the temporary directory")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        found = _measure(Path(name), options)
    if options.json is not None:
        write_atomically(options.json, canonical_json(found))
    print(json.dumps(found["memory"]))
    return 0


def _measure(place: Path, options: argparse.Namespace) -> dict[str, object]:
    base = load_base(options.base, "cpu")
    numbers = count()
    rounds: list[dict[str, object]] = []
    memory: dict[str, float] = {}
    with _process(place, "bare", "benchmarks.submit.bare", str(place / "bare")) as bare_server:
        for fold in options.folds:
            words = (str(place / f"forge {fold}"), str(place / f"{fold}.ready"), fold, options.base)
            with _process(place, fold, "benchmarks.submit.forge", *words) as server:
                _round(base, place, options, numbers, FORGE, server, 1, 3)
                memory |= _memory(base, place, options, numbers, server, fold)
                for clients in options.clients:
                    branches = max(1, options.branches // clients) * clients
                    bare = _round(base, place, options, numbers, BARE, bare_server, clients, branches)
                    forge = _round(base, place, options, numbers, FORGE, server, clients, branches)
                    print(bare.line(bare.speed), flush=True)
                    print(forge.line(bare.speed), f"(folding {fold})", flush=True)
                    rounds.append({"fold": fold, "bare": asdict(bare), "forge": asdict(forge),
                                   "share": forge.speed / bare.speed})  # fmt: skip
    return {"rounds": rounds, "memory": memory, "statistics": not options.no_statistics}


def _round(
    base: BaseModule, place: Path, options: argparse.Namespace, numbers: Iterator[int], way: str,
    server: tuple[int, str], clients: int, branches: int,
) -> Round:  # fmt: skip
    first = next(numbers)
    folders = list(
        write_branches(
            base, place / f"sent {first}", branches, options.bytes, not options.no_statistics, first * 10_000
        )
    )
    size = sum(map(size_of, folders))
    # what was written just now is not to be synced with what is measured
    os.sync()
    pid, at = server
    ticks = _ticks(pid)
    seconds = timed(way, at, [folders[client::clients] for client in range(clients)])
    return Round(way, clients, branches, size, seconds, (_ticks(pid) - ticks) / os.sysconf("SC_CLK_TCK"))


def _memory(
    base: BaseModule,
    place: Path,
    options: argparse.Namespace,
    numbers: Iterator[int],
    server: tuple[int, str],
    fold: str,
) -> dict[str, float]:
    pid, at = server
    first = next(numbers) * 10_000
    [folder] = write_branches(base, place / f"sent {first}", 1, options.large, not options.no_statistics, first)
    before = resident(pid, "VmRSS")
    forget_peak(pid)
    timed(FORGE, at, [[folder]])
    accepted = resident(pid, "VmHWM") - before
    size = size_of(folder)
    found = {f"bytes of the large branch, folding {fold}": float(size), f"accepted, folding {fold}": accepted / size}
    if fold == ON:
        _wait_idle(pid)
        found["accepted and folded"] = (resident(pid, "VmHWM") - before) / size
    return found


def _wait_idle(pid: int) -> None:
    """Wait until a process has taken next to no CPU time for a second."""
    end = time.monotonic() + _FOLD_SECONDS
    ticks = _ticks(pid)
    while time.monotonic() < end:
        time.sleep(1.5)
        before, ticks = ticks, _ticks(pid)
        if ticks - before < os.sysconf("SC_CLK_TCK") // 10:
            return


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextmanager
def _process(place: Path, name: str, module: str, *words: str) -> Iterator[tuple[int, str]]:
    """Run a server's module until the block ends; gives its process id and address."""
    ready = place / f"{name}.ready"
    command = [sys.executable, "-m", module, *(words if name != "bare" else (*words, str(ready)))]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + _START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the server of {name} did not start")
            time.sleep(0.05)
        yield process.pid, ready.read_text()
    finally:
        process.kill()
        process.wait()
