"""What came of a run, in words for the log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from medforge.aggregator.flower.deliveries import DeliveryResult
from medforge.aggregator.flower.rounds import ForgeResult
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.records import Arrival
from medforge.aggregator.main_branch.main_branch import MainBranch


def report(main: MainBranch, result: ForgeResult, out: Path) -> str:
    """Return the lines that a run ends with: arrivals in order, scores, what failed, and where everything lies."""
    lines = []
    for number, node in result.folded.items():
        manifest = main.forge.manifest(number)
        lines.append(f"arrival {number}: {manifest.contributor} for {manifest.task} (node {node})")
    lines += [f"not merged: {failure.reason} (node {failure.node})" for failure in result.failures]
    return "\n".join([*lines, *_rest(main.head(), result.waiting, result.complete, out)])


def delivered(forge: Forge, arrivals: Iterable[Arrival], result: DeliveryResult, out: Path) -> str:
    """Return the same lines of a run whose nodes pushed at the forge's own door."""
    lines = []
    for one in arrivals:
        reason = f": {one.reason}" if one.reason else ""
        node = result.nodes[one.number]
        lines.append(f"arrival {one.number}: {one.contributor} for {one.task}, {one.state.value}{reason} (node {node})")
    lines += [f"not delivered: {failure.reason} (node {failure.node})" for failure in result.failures]
    return "\n".join([*lines, *_rest(forge.ledger.head(), result.waiting, result.complete, out)])


def _rest(head: Commit | None, waiting: Sequence[int], complete: bool, out: Path) -> list[str]:
    lines = [f"never replied: node {node}" for node in waiting]
    if head is not None:
        scores = ", ".join(f"{task} {score.acc:.3f}" for task, score in sorted(head.metrics.items()))
        lines += [f"head {head.digest}", f"accuracy on distilled images: {scores}"]
    if not complete:
        lines.append("the run ended before every expected branch was in: nothing had moved for the run's patience")
    return [*lines, f"forge {out / 'forge'}, page {out / 'page' / 'index.html'}"]
