"""One contributor misbehaves with many threads; how long another's Submit takes meanwhile, as a multiple.

A real `medforge serve` process over TLS, with an invited contributor for each way of misbehaving, and one who behaves:
it uploads a small branch of its own, and its Submit is timed, a few times alone and a few times while the other's
threads go on. Those run in a process of their own at low priority (nice 10), since in earnest they have a machine of
their own. What they called, and how it ended, is in the numbers.

Run from the repository's root: ``python -m benchmarks.misbehaving [--ways reviews ...] [--json OUT]``. The exit status
is 1 where a Submit that is timed is refused, whatever the ratios are.
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
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.attackers import WAYS, misbehave
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Policy, change
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.merge import choose_settings
from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.proto.connection import Connection
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge
from tests.making import make_branch

AIM = 3.0
_FIRST = "first"
_START_SECONDS = 180.0
_ANYWHERE = "127.0.0.1:1"
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Row:
    """Seconds of Submits alone and while another misbehaves in a way."""

    way: str
    alone: list[float]
    disturbed: list[float]
    calls: dict[str, int]

    @property
    def ratio(self) -> float:
        """The median while disturbed over the median alone."""
        return median(self.disturbed) / median(self.alone)

    def line(self) -> str:
        """Return a line of the table."""
        return (
            f"| {WAYS[self.way]} | {median(self.alone):.3f} | {median(self.disturbed):.3f} | {max(self.disturbed):.3f} "
            f"| {self.ratio:.1f} | {max(self.disturbed) / median(self.alone):.1f} |"
        )

    def plain(self) -> dict[str, object]:
        """Return the numbers."""
        seconds = {"alone": self.alone, "disturbed": self.disturbed, "calls": self.calls}
        return {"way": self.way, **seconds, "ratio": self.ratio, "worst": max(self.disturbed) / median(self.alone)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all ways, print the table, and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="medforge-tiny")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--threads", type=int, default=16, help="threads of who misbehaves")
    parser.add_argument("--submits", type=int, default=6, help="Submits that are timed, alone and disturbed")
    parser.add_argument("--megabytes", type=int, default=48, help="size of the largest branch that is sent")
    parser.add_argument("--policy", action="append", default=[], help="change the policy, as in `medforge serve`")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--directory", type=Path, help="where the files are written; default: the temporary directory")
    parser.add_argument("--misbehave", nargs=3, metavar=("WAY", "AT", "PLACE"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.misbehave:
        os.nice(10)
        way, at, place = options.misbehave
        misbehave(way, at, Path(place), options)
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        rows = list(measure(Path(name), options))
    print("\n".join(row.line() for row in rows))
    if options.json:
        options.json.write_text(json.dumps([row.plain() for row in rows], indent=1) + "\n")
    print(f"medians within {AIM:g} times: {sum(row.ratio <= AIM for row in rows)} of {len(rows)}")
    return 0


def measure(place: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Time Submits below a place, one way after another, each beside Submits that nothing disturbs."""
    base = load_base(options.base, "cpu")
    policy = change(Policy(), ["admission.behaviour=false", "admission.weight_change=1000", *options.policy])
    forge = Forge.establish(place / "forge", base, choose_settings(), policy=policy)
    beside = {way: f"beside {way}" for way in options.ways}
    kits = {name: invite(forge, name, _ANYWHERE, place / name) for name in (_FIRST, *options.ways, *beside.values())}
    forge.close()
    with _serving(place, options.base) as at:
        # what a first call loads is no part of a Submit
        _submits(at, kits[_FIRST], base, place, range(2))
        for way in options.ways:
            kit, seeds = kits[beside[way]], range(2 * options.submits)
            alone = _submits(at, kit, base, place, seeds[: options.submits])
            with _misbehaving(way, at, place, options) as calls:
                disturbed = _submits(at, kit, base, place, seeds[options.submits :])
                row = Row(way, alone, disturbed, json.loads(calls.read_bytes()))
            print(row.line(), flush=True)
            yield row


def _submits(at: str, kit: Kit, base: BaseModule, place: Path, seeds: Sequence[int]) -> list[float]:
    """Upload branches one after another, submit each, and return the seconds of every Submit."""
    name = kit.card.contributor
    seconds = []
    with RemoteForge(Connection(at, kit)) as forge:
        forge.describe()
        for seed in seeds:
            branch = make_branch(base, 1000 + seed, f"{name} {seed}", name)
            upload(forge, branch, place / "sent" / branch.digest)
            signature, content = kit.sign_submit(branch.digest), branch.manifest.to_bytes()
            begun = time.perf_counter()
            forge.submit(content, signature)
            seconds.append(time.perf_counter() - begun)
            time.sleep(0.2)
    return seconds


def upload(forge: RemoteForge, branch: Branch, folder: Path) -> None:
    """Bring a branch's files."""
    branch.save(folder)
    for name, entry in branch.manifest.files.items():
        for _ in forge.upload(entry.digest, folder / name, 0, _CHUNK):
            pass


@contextmanager
def _misbehaving(way: str, at: str, place: Path, options: argparse.Namespace) -> Iterator[Path]:
    """Let another process misbehave, once it has begun to; gives the file that says what it called."""
    begun = place / f"{way}.begun"
    words = ["--misbehave", way, at, str(place), "--threads", str(options.threads), "--base", options.base]
    words += ["--megabytes", str(options.megabytes)]
    with _process([sys.executable, "-m", "benchmarks.misbehaving", *words], begun):
        time.sleep(1.0)
        yield begun


@contextmanager
def _serving(place: Path, base: str) -> Iterator[str]:
    ready = place / "ready"
    command = [sys.executable, "-m", "medforge", "serve", "--forge", str(place / "forge"), "--base", base, "--tls",
               "--listen", "127.0.0.1:0", "--open-tasks", "--threads", "1", "--ready-file", str(ready)]  # fmt: skip
    with _process(command, ready):
        yield ready.read_text()


@contextmanager
def _process(command: list[str], ready: Path) -> Iterator[None]:
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + _START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{command[2:4]} did not begin; run it by hand")
            time.sleep(0.05)
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
