"""What it takes to look at a long ledger: a forge whose ledger holds a chain that nobody folded.

Arrivals, commits and journal are those of a forge of two contributors, of whom one sent every hundredth branch, each
commit with a fold's fields and about its bytes; of branches and forge items only the names of files are there, and the
files are empty. So what reads the ledger alone can be measured long before so many branches have been folded; what a
fold costs cannot. `log --kit` is measured twice: first where nothing of the forge is kept, and then once more.

Run from the repository's root: ``python -m benchmarks.scale ledger --out runs/ledger [--marks 10 100 1000 10000]``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import text

from benchmarks.scale.serving import Cost, Server, command
from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.retention import sweep
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.journal import ARRIVED, FORGE, enter, now
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.rows import ArrivalRow, CommitRow
from medforge.aggregator.main_branch.comparison import software_of
from medforge.aggregator.merge import choose_settings
from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.files import sha256_bytes
from medforge.processor import processor_kind
from medforge.proto.kit import Kit
from medforge.runs import Runs

_TASKS = ("breast", "lung", "colon")
_FILES = 8
_SITE, _SELDOM = "site", "seldom"
_BETWEEN_SUBMITS = 0.01


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, write the ledgers, run the commands and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the forge and the numbers are written")
    parser.add_argument("--marks", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--base", default="medforge-tiny")
    options = parser.parse_args(arguments)
    base = load_base(options.base, "cpu")
    forge = Forge.establish(options.out / "forge", base, choose_settings())
    kits = {name: invite(forge, name, "127.0.0.1:50051", options.out / name) for name in (_SITE, _SELDOM)}
    forge.close()
    found: list[dict[str, object]] = []
    for mark in sorted(options.marks):
        forge = Forge.establish(options.out / "forge", base, choose_settings())
        lengthen(forge, base, kits, mark)
        waits = submit_waits(forge)
        forge.close()
        found.append({"arrivals": mark} | measure(options.out, options.base) | waits)
        print(found[-1], flush=True)
        (options.out / "ledger.json").write_text(json.dumps(found, indent=1) + "\n")
    return 0


def measure(out: Path, base: str) -> dict[str, object]:
    """Run the commands, and return (seconds by the clock, of CPU time) of each, beside the ledger's bytes."""
    forge = out / "forge"
    directory = ("--forge", str(forge))
    costs: dict[str, Cost] = {
        "log": command("log", *directory),
        "log --graph": command("log", "--graph", *directory),
        "fsck --quick": command("fsck", "--quick", *directory),
    }
    shutil.rmtree(out / "cache", ignore_errors=True)
    os.environ["MEDFORGE_CACHE"] = str(out / "cache")
    server = Server.begin(forge, base, 1, out / "serve.log")
    try:
        costs["log --kit"] = command("log", "--kit", str(out / _SITE), "--at", server.address)
        costs["log --kit again"] = command("log", "--kit", str(out / _SITE), "--at", server.address)
        costs["status --kit"] = command("status", "--kit", str(out / _SELDOM), "--at", server.address)
    finally:
        server.end()
    seconds = {name: (round(cost.wall, 2), round(cost.cpu, 2)) for name, cost in costs.items()}
    return {"seconds": seconds, "ledger": sum(one.stat().st_size for one in forge.glob("ledger.sqlite*"))}


def submit_waits(forge: Forge) -> dict[str, object]:
    """Sweep once, and return the seconds that it took, and the most that Submit would have waited for its lock."""
    longest, done = 0.0, threading.Event()

    def submit() -> None:
        nonlocal longest
        while not done.is_set():
            begun = time.monotonic()
            with forge.adding:
                longest = max(longest, time.monotonic() - begun)
            time.sleep(_BETWEEN_SUBMITS)

    thread = threading.Thread(target=submit)
    thread.start()
    begun = time.monotonic()
    sweep(forge)
    took = time.monotonic() - begun
    done.set()
    thread.join()
    return {"sweep": round(took, 3), "submit waits": round(longest, 3)}


def lengthen(forge: Forge, base: BaseModule, kits: Mapping[str, Kit], last: int) -> None:
    """Write arrivals and commits up to a number, as a ledger would hold them, in one transaction."""
    ledger: Ledger = forge.ledger
    first = ledger.counts()[0] + 1
    head = ledger.head()
    parent = head.digest if head else None
    template = _template(base)
    with ledger.writing() as session:
        for number in range(first, last + 1):
            commit = drawn(template, number, parent)
            _lay(forge, commit)
            site = commit.contributor
            session.add(
                ArrivalRow(
                    number=number,
                    branch=commit.branch,
                    contributor=site,
                    task=commit.task,
                    size=1,
                    accepted_at=now(),
                    state=State.FOLDED.value,
                    signature=kits[site].sign_submit(commit.branch),
                )
            )
            session.add(CommitRow(number=number, digest=commit.digest, arrival=number, content=commit.content))
            about = {"arrival": number, "branch": commit.branch, "task": commit.task, "size": 1}
            enter(session, site, ARRIVED, about)
            about = {"arrival": number, "branch": commit.branch, "commit": commit.digest, "number": number}
            enter(session, FORGE, "committed fold", about)
            parent = commit.digest
    with ledger.reading() as session:
        session.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))


def drawn(template: Commit, number: int, parent: str | None) -> Commit:
    """Make the commit of a number, as long as a fold's."""
    told = {
        "parent": parent,
        "arrival": number,
        "members": Runs.said([[1, number]]),
        "contributor": _SELDOM if number % 100 == 1 else _SITE,
        "task": _TASKS[number % len(_TASKS)],
        "branch": _digest("branch", number),
        "metrics": {task: TaskScore(loss=1 / number, acc=1 - 1 / number) for task in _TASKS},
        "item": _digest("item", number),
        "item_files": {f"tasks/{place}/plugin": _digest(f"file {place}", number) for place in range(_FILES)},
    }
    return template.model_copy(update=told)


def _lay(forge: Forge, commit: Commit) -> None:
    """Make the files that the commit names, empty and just written."""
    for digest in commit.item_files.values():
        path = forge.blobs.directory / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _template(base: BaseModule) -> Commit:
    """Make a commit of this software and base that holds nothing."""
    settings = choose_settings()
    return Commit(
        parent=None,
        arrival=1,
        members=Runs(),
        contributor=_SITE,
        task=_TASKS[0],
        branch=_digest("branch", 1),
        method=settings,
        coefficients={},
        metrics={},
        seed=0,
        software=software_of(settings),
        base=base.fingerprint,
        compute="cpu float32",
        item=None,
        item_files={},
        processor=processor_kind(),
    )


def _digest(kind: str, number: int) -> str:
    return sha256_bytes(f"{kind} {number}".encode())
