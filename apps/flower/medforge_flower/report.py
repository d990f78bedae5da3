"""What came of a run, in words for the log."""

from __future__ import annotations

from pathlib import Path

from medforge.aggregator.flower.rounds import ForgeResult
from medforge.aggregator.main_branch.main_branch import MainBranch


def report(main: MainBranch, result: ForgeResult, out: Path) -> str:
    """Return the lines that a run ends with: arrivals in order, scores, what failed, and where everything lies."""
    head = main.head()
    lines = []
    for number, node in result.folded.items():
        manifest = main.forge.manifest(number)
        lines.append(f"arrival {number}: {manifest.contributor} for {manifest.task} (node {node})")
    lines += [f"not merged: {failure.reason} (node {failure.node})" for failure in result.failures]
    lines += [f"never replied: node {node}" for node in result.waiting]
    if head is not None:
        scores = ", ".join(f"{task} {score.acc:.3f}" for task, score in sorted(head.metrics.items()))
        lines += [f"head {head.digest}", f"accuracy on distilled images: {scores}"]
    if not result.complete:
        lines.append("the run ended before every expected branch was in: nothing had moved for the run's patience")
    lines.append(f"forge {out / 'forge'}, page {out / 'page' / 'index.html'}")
    return "\n".join(lines)
