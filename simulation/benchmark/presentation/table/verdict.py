"""What came out of a table of methods, in plain words computed from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from medforge.simulation.benchmark.presentation.numbers_in_words import against, listed, measured, number
from medforge.simulation.benchmark.results.comparison import (
    MUCH,
    best_of,
    far_behind,
    means_of_variants,
    merged_rows,
    upper_bound,
    weakest_task,
)
from medforge.simulation.benchmark.results.result_model import RowsResult
from medforge.simulation.benchmark.results.rows import Row


def table_verdict(result: RowsResult) -> str:
    """Name the merge method with the best mean, and how far it lies from the single-task plugins."""
    merged = merged_rows(result.rows)
    if not merged:
        return "No merge method was run."
    bound = upper_bound(result.rows)
    free, named = family_sentence(merged)
    return variants_verdict(merged) + best_sentence(merged, bound) + free + union_sentence(merged, named, bound)


def best_sentence(merged: Sequence[Row], bound: Row | None) -> str:
    """Name the best, and how many lie far behind the single-task plugins where there are any."""
    best = best_of(merged)
    mean = best.mean.acc
    if bound is None:
        return f"“{best.label}” has the highest mean accuracy of the merged models: {measured(mean)}."
    alone = bound.mean.acc
    text = (
        f"Of {len(merged)} ways to merge, “{best.label}” comes closest to the single-task plugins: "
        f"mean accuracy {measured(mean)} against {measured(alone)}, {against(mean.mean - alone.mean)} them."
    )
    behind = len(far_behind(merged, bound))
    if behind == len(merged):
        return f"{text} That is far behind: every way to merge loses more than {MUCH * 100:.0f} points."
    if behind:
        text += f" {behind} of them {'loses' if behind == 1 else 'lose'} more than {MUCH * 100:.0f} points."
    return text


def family_sentence(merged: Sequence[Row]) -> tuple[str, Row]:
    """Name the best of the other family, with distilled data or without, where both are there; return it, or the best.

    The row is the one that a sentence after it may call "it".
    """
    best = best_of(merged)
    others = [row for row in merged if row.training_free is not best.training_free]
    if not others:
        return "", best
    named = best_of(others)
    which = (
        "It needs no distilled data; of those that do,"
        if best.training_free
        else "Of those that need no distilled data,"
    )
    return f" {which} “{named.label}” does best, with {measured(named.mean.acc)}.", named


def union_sentence(merged: Sequence[Row], named: Row, bound: Row | None) -> str:
    """Name the best among the prompts of all tasks, "it" where the sentence before did; without a union, by AUC."""
    unions = {row.key: union.mean for row in merged if (union := row.mean.union_acc) is not None}
    if not unions:
        # where most images lack most findings, accuracy says little
        first = max(merged, key=lambda row: row.mean.auc.mean)
        text = f" By mean AUC, “{first.label}” does best, with {measured(first.mean.auc)}"
        return f"{text}; the single-task plugins reach {measured(bound.mean.auc)}." if bound else f"{text}."
    first = max((row for row in merged if row.key in unions), key=lambda row: unions[row.key])
    other = "it" if first is named else f"“{first.label}”"
    text = f" When the model must name the organ and the class at once, {other} does best"
    text += f", with {measured(first.mean.union_acc)}"
    if bound is not None:
        text += f"; the single-task plugins reach {measured(bound.mean.union_acc)}"
    return text + "."


def variants_verdict(merged: Sequence[Row]) -> str:
    """Rank the variants under which the same methods were run; nothing where there are not several."""
    means = means_of_variants(merged)
    if len(means) < 2:
        return ""
    first, *rest = means
    others = listed([f"{name} {number(means[name])}" for name in rest])
    return f"Merged models do best with {first}: mean accuracy {number(means[first])} over methods; {others}. "


def table_findings(result: RowsResult) -> tuple[str, ...]:
    """Say of every merge method how far it lies from the single-task plugins, best first."""
    bound = upper_bound(result.rows)
    if bound is None:
        return ()
    alone = bound.mean.acc.mean
    return tuple(
        f"{row.label}: {measured(row.mean.acc)}, {against(row.mean.acc.mean - alone)} the single-task plugins; "
        f"weakest task {weakest_task_words(row, bound)}."
        for row in sorted(merged_rows(result.rows), key=lambda row: -row.mean.acc.mean)
    )


def weakest_task_words(row: Row, bound: Row) -> str:
    """Name the task that lies furthest behind its own plugin."""
    task, gap = weakest_task(row, bound)
    return f"{task}, {number(row.cell(task).acc.mean)}, {against(gap)} its own plugin"
