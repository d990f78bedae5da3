"""The table: a row an attack, three conditions beside each other, as markdown, from what was written as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.poisoning.scoring import TaskScores
from benchmarks.poisoning.trial import CONDITIONS

Row = Mapping[str, Any]
_STOPPED = "; stopped, by what"


def markdown(rows: Sequence[Row], clean: Sequence[Row]) -> str:
    """Lay out outcomes: for each method a table of its attacks, the honest branches first.

    A cell has the harm to the victim in points, mean and worst run, / to any other task, worst run, / by how much the
    share of a task's images that are routed elsewhere grew at most; then how many branches were stopped, by what.
    """
    parts = []
    for method in dict.fromkeys(row["method"] for row in rows):
        of = [row for row in rows if row["method"] == method]
        conditions = [one for one in CONDITIONS if any(row["condition"] == one for row in of)]
        heads = [
            f"{one}: harm (mean, worst), drawn away{_STOPPED if one != CONDITIONS[0] else ''}" for one in conditions
        ]
        lines = [f"| {method} | runs | {' | '.join(heads)} |", f"|---|---{'|---' * len(conditions)}|"]
        held = [_held(clean, method, one) for one in conditions]
        lines.append(f"| honest branches, nobody attacks: held | | {' | '.join(held)} |")
        for attack in dict.fromkeys(row["attack"] for row in of):
            own = [[row for row in of if (row["attack"], row["condition"]) == (attack, one)] for one in conditions]
            lines.append(f"| {attack} | {max(map(len, own))} | {' | '.join(map(_cell, own))} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _held(clean: Sequence[Row], method: str, condition: str) -> str:
    counts = _sum(row["honest"] for row in clean if (row["method"], row["condition"]) == (method, condition))
    total = sum(counts.values())
    held = total - counts[""]
    return f"{held} of {total}{_by(counts)}"


def _cell(rows: Sequence[Row]) -> str:
    if not rows:
        return "–"
    victim = [100 * _harm(row, row["victim"]) for row in rows]
    others = max(100 * _harm(row, task) for row in rows for task in row["before"] if task != row["victim"])
    away = max(100 * row["drawn_away"] for row in rows)
    said = f"{fmean(victim):.1f}, {max(victim):.1f} / {others:.1f} / {away:.0f}"
    if rows[0]["condition"] == CONDITIONS[0]:
        return said
    counts = _sum(row["stopped"] for row in rows)
    late = _sum(row["honest"] for row in rows)
    honest = sum(late.values()) - late[""]
    kept_out = f"; honest held: {honest} of {sum(late.values())}{_by(late)}" if honest else ""
    total = sum(counts.values())
    return f"{said}; {(total - counts['']) / max(total, 1):.0%}{_by(counts)}{kept_out}"


def _harm(row: Row, task: str) -> float:
    before, after = (TaskScores(*row[when][task]) for when in ("before", "after"))
    return before.harm(after)


def _by(counts: Counter[str]) -> str:
    named = ", ".join(f"{count} {check}" for check, count in counts.most_common() if check)
    return f" ({named})" if named else ""


def _sum(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total


def print_tables(paths: Sequence[str]) -> int:
    """Print the tables of files that the benchmark wrote, all as one."""
    found = [json.loads(Path(path).read_text()) for path in paths]
    print(markdown([row for one in found for row in one["outcomes"]], [row for one in found for row in one["honest"]]))
    return 0
