"""What it takes to look at a long ledger: a forge whose ledger holds a chain that nobody folded.

Arrivals, commits and journal are those of a forge of one contributor, each commit with a fold's fields and about its
bytes; branches and forge items are not there. So `log` and `fsck --quick`, which read the ledger alone, can be measured
long before so many branches have been folded; what a fold costs cannot.

Run from the repository's root: ``python -m benchmarks.scale ledger --out runs/ledger [--marks 10 100 1000 10000]``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import text

from benchmarks.scale.serving import Cost, command
from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.journal import ARRIVED, FORGE, enter, now
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.rows import ArrivalRow, CommitRow
from medforge.aggregator.ledger.runs import Runs
from medforge.aggregator.main_branch.comparison import software_of
from medforge.aggregator.merge import choose_settings
from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.files import sha256_bytes
from medforge.processor import processor_kind
from medforge.proto.kit import Kit

_TASKS = ("breast", "lung", "colon")
_FILES = 8
_SITE = "site"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, write the ledgers, run the commands and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the forge and the numbers are written")
    parser.add_argument("--marks", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--base", default="medforge-tiny")
    options = parser.parse_args(arguments)
    base = load_base(options.base, "cpu")
    forge = Forge.establish(options.out / "forge", base, choose_settings())
    found: list[dict[str, object]] = []
    try:
        kit = invite(forge, _SITE, "127.0.0.1:50051", options.out / "kit")
        for mark in sorted(options.marks):
            lengthen(forge, base, kit, mark)
            found.append({"arrivals": mark} | measure(options.out / "forge"))
            print(found[-1], flush=True)
            (options.out / "ledger.json").write_text(json.dumps(found, indent=1) + "\n")
    finally:
        forge.close()
    return 0


def measure(forge: Path) -> dict[str, object]:
    """Run the commands, and return (seconds by the clock, of CPU time) of each, beside the ledger's bytes."""
    costs: dict[str, Cost] = {
        "log": command("log", "--forge", str(forge)),
        "log --graph": command("log", "--graph", "--forge", str(forge)),
        "fsck --quick": command("fsck", "--quick", "--forge", str(forge)),
    }
    seconds = {name: (round(cost.wall, 2), round(cost.cpu, 2)) for name, cost in costs.items()}
    return {"seconds": seconds, "ledger": sum(one.stat().st_size for one in forge.glob("ledger.sqlite*"))}


def lengthen(forge: Forge, base: BaseModule, kit: Kit, last: int) -> None:
    """Write arrivals and commits up to a number, as a ledger would hold them, in one transaction."""
    ledger: Ledger = forge.ledger
    first = ledger.counts()[0] + 1
    head = ledger.head()
    parent = head.digest if head else None
    template = _template(base)
    with ledger.writing() as session:
        for number in range(first, last + 1):
            commit = drawn(template, number, parent)
            session.add(
                ArrivalRow(
                    number=number,
                    branch=commit.branch,
                    contributor=_SITE,
                    task=commit.task,
                    size=1,
                    accepted_at=now(),
                    state=State.FOLDED.value,
                    signature=kit.sign_submit(commit.branch),
                )
            )
            session.add(CommitRow(number=number, digest=commit.digest, arrival=number, content=commit.content))
            about = {"arrival": number, "branch": commit.branch, "task": commit.task, "size": 1}
            enter(session, _SITE, ARRIVED, about)
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
        "task": _TASKS[number % len(_TASKS)],
        "branch": _digest("branch", number),
        "metrics": {task: TaskScore(loss=1 / number, acc=1 - 1 / number) for task in _TASKS},
        "item": _digest("item", number),
        "item_files": {f"tasks/{place}/plugin": _digest(f"file {place}", number) for place in range(_FILES)},
    }
    return template.model_copy(update=told)


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
