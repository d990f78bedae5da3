"""What came out of several centres with one question, in plain words computed from its numbers."""

from __future__ import annotations

from medforge.simulation.benchmark.presentation.numbers_in_words import against, measured, number, size
from medforge.simulation.benchmark.results.comparison import merged_rows
from medforge.simulation.benchmark.results.rows import Row
from medforge.simulation.benchmark.results.sites import DEFAULT, SitesResult


def sites_verdict(result: SitesResult) -> str:
    """Name the best merge and say how the default lies to the best centre alone, FedAvg, pooling and LDA."""
    merged = merged_rows(result.rows)
    if not merged:
        return "No merge method was run."
    best, alone = max(merged, key=lambda row: result.mean(row).acc.mean), result.best_alone
    default = result.row(DEFAULT) or best
    text = (
        f"Of {len(merged)} ways to merge {len(result.centres)} centres, “{best.label}” has the highest mean accuracy, "
        f"{measured(result.mean(best).acc)}; the best centre alone, {alone.label.removesuffix(' alone')}, has "
        f"{measured(result.mean(alone).acc)}. "
    )
    return text + compared(default, result) + sent(result)


def compared(row: Row, result: SitesResult) -> str:
    """Say how a model lies to its rivals."""
    rivals = [("the best centre alone", result.best_alone)]
    named = (("federated averaging", "fedavg"), ("pooled training", "pooled"), ("LDA without a plugin", "lda"))
    rivals += [(what, found) for what, key in named if (found := result.row(key)) is not None]
    here, there = result.mean(row).acc.mean, [(what, result.mean(rival).acc.mean) for what, rival in rivals]
    parts = [f"{against(here - acc)} {what} ({number(acc)})" for what, acc in there]
    return f"“{row.label}” ({number(here)}) lies {', '.join(parts)}. "


def sent(result: SitesResult) -> str:
    """Compare what travels."""
    traffic = {one.key: one for one in result.traffic}
    if not {"branches", "fedavg"} <= traffic.keys():
        return ""
    branches, rounds = traffic["branches"], traffic["fedavg"]
    return f"It takes {size(branches.bytes)} sent once; FedAvg sends {size(rounds.bytes)} in {_rounds(rounds.rounds)}."


def sites_findings(result: SitesResult) -> tuple[str, ...]:
    """Say of every merge method where it lies, best first, and at whose home it loses most to the own plugin."""
    found = []
    for row in sorted(merged_rows(result.rows), key=lambda row: -result.mean(row).acc.mean):
        gaps = {
            name: row.cell(name).acc.mean - own.cell(name).acc.mean
            for name in result.compared
            if (own := result.row(f"alone/{name}")) is not None
        }
        weakest = min(gaps, key=lambda name: gaps[name])
        mean = result.mean(row).acc
        gap = mean.mean - result.mean(result.best_alone).acc.mean
        found.append(
            f"{row.label}: {measured(mean)}, {against(gap)} the best centre alone; against a centre's own "
            f"plugin at home weakest on {weakest}, {against(gaps[weakest])} it."
        )
    return tuple(found)


def _rounds(count: int) -> str:
    return "one round" if count == 1 else f"{count} rounds"
