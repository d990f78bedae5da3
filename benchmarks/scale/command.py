"""The command: grow the forge from mark to mark, or draw what was measured."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from benchmarks.scale.chart import draw
from benchmarks.scale.crowd import Crowd, Shape
from benchmarks.scale.results import Mark, Results, Sample
from benchmarks.scale.serving import Cost, Server, bytes_below, command
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Policy, change
from medforge.aggregator.ledger.records import State
from medforge.aggregator.merge import choose_settings
from medforge.client.push import push
from medforge.proto.connection import Connection

_AHEAD = 3
_LOOK_SECONDS = 0.05
# all branches here are nearly copies: they are compared as usual, and not held for it
_POLICY = ("origin.weights=1", "origin.images=1", "limits.messages_per_second=1000000")


class Run:
    """Bring a forge to one mark after another."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._place: Path = options.out
        self._options = options
        self._forge_directory = self._place / "forge"
        self._crowd = Crowd(self._place / "kits", options.base, options.shape)
        self._establish()
        self.results = Results.read(self._place / "results.json", self._about())
        self._server: Server | None = None
        self._counted, self._cpu, self._first = 0, 0.0, True

    def to(self, mark: int) -> None:
        """Push until so many branches have been folded or held, and measure what there is to be measured there."""
        if any(one.arrival == mark for one in self.results.marks):
            return
        forge = Forge.open(self._forge_directory)
        try:
            pushed, done = forge.ledger.counts()[0], _done(forge)
            if done < mark:
                self._serve(done)
            while done < mark:
                if pushed < mark and pushed - done < _AHEAD:
                    pushed += 1
                    self._push(forge, pushed)
                else:
                    time.sleep(_LOOK_SECONDS)
                done = _done(forge)
                self._sample(forge, done)
            self._measure(forge, mark)
        finally:
            forge.close()

    def end(self) -> None:
        """Stop the server."""
        if self._server is not None:
            self._server.end()
            self._server = None

    def _establish(self) -> None:
        if self._forge_directory.exists():
            return
        options = self._options
        settings = choose_settings(**({"method": options.merge} if options.merge else {}))
        policy = change(Policy(), [*_POLICY, *options.policy])
        self._place.mkdir(parents=True, exist_ok=True)
        Forge.establish(self._forge_directory, self._crowd.base, settings, policy=policy).close()

    def _about(self) -> dict[str, object]:
        options = self._options
        return {
            "base": options.base,
            "shape": options.shape,
            "merge": options.merge or choose_settings().method,
            "threads": options.threads,
            "policy": options.policy,
        }

    def _serve(self, done: int) -> Server:
        if self._server is None:
            log = self._place / "serve.log"
            self._server = Server.begin(self._forge_directory, self._options.base, self._options.threads, log)
            self._counted, self._cpu, self._first = done, self._server.cpu_seconds, True
        return self._server

    def _push(self, forge: Forge, number: int) -> None:
        assert self._server is not None
        self._crowd.invite(forge, number)
        folder = self._place / "branch"
        shutil.rmtree(folder, ignore_errors=True)
        self._crowd.branch(number).save(folder)
        receipt = push(folder, Connection(self._server.address, self._crowd.kit(number)), self._place / "receipt")
        if receipt.arrival != number:
            raise SystemExit(f"branch {number} became arrival {receipt.arrival}; give a new --out")

    def _sample(self, forge: Forge, done: int) -> None:
        """Note what arrivals have cost, where enough are done since the last sample: more of them further on."""
        assert self._server is not None
        head, fresh = forge.ledger.head(), done - self._counted
        if head is None or fresh < (1 if self._first else max(1, done // 50)):
            return
        cpu = self._server.cpu_seconds
        sample = Sample(
            done, fresh, round((cpu - self._cpu) / fresh, 4), self._server.resident, len(head.content), self._first
        )
        self.results.samples.append(sample)
        self._counted, self._cpu, self._first = done, cpu, False
        self.results.write(self._place / "results.json")

    def _measure(self, forge: Forge, mark: int) -> None:
        self.end()
        server = self._serve(mark)
        directory = ("--forge", str(self._forge_directory))
        kit = ("--kit", str(self._crowd.kit_directory(mark)), "--at", server.address)
        seconds: dict[str, Cost] = {
            "serve": server.start,
            "log": command("log", *directory),
            "log over the wire": command("log", *kit),
            "status": command("status", *kit),
            "fsck --quick": command("fsck", "--quick", *directory),
        }
        head = forge.ledger.head()
        assert head is not None
        found = Mark(
            arrival=mark,
            head=head.digest,
            item=head.item or "",
            held=forge.ledger.count_states().get(State.HELD, 0),
            resident=server.resident,
            ledger=sum(one.stat().st_size for one in self._forge_directory.glob("ledger.sqlite*")),
            blobs=bytes_below(self._forge_directory / "blobs"),
            seconds={name: (round(cost.wall, 2), round(cost.cpu, 2)) for name, cost in seconds.items()},
        )
        self.results.marks.append(found)
        self.results.write(self._place / "results.json")
        print(found, flush=True)


def _done(forge: Forge) -> int:
    """Count the arrivals that no longer wait to be folded."""
    counts = forge.ledger.count_states()
    return sum(counts.values()) - counts.get(State.RECEIVED, 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line; grow, measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where forge, kits and results are, or will be")
    parser.add_argument("--marks", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--shape", choices=get_args(Shape), default="many", help="contributors of a task")
    parser.add_argument("--base", default="medforge-tiny")
    parser.add_argument("--merge", help="a merge method; default: a forge's own")
    parser.add_argument("--threads", type=int, default=1, help="of the server")
    parser.add_argument("--policy", action="append", default=[], help="change the policy, as in `medforge serve`")
    options = parser.parse_args(arguments)
    run = Run(options)
    try:
        for mark in sorted(options.marks):
            run.to(mark)
    finally:
        run.end()
    draw([run.results], options.out / "scale.svg")
    return 0
