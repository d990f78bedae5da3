"""What came out of many tasks in one model, in plain words computed from its numbers."""

from __future__ import annotations

from medforge.simulation.benchmark.presentation.numbers_in_words import against, measured, number
from medforge.simulation.benchmark.presentation.table.verdict import table_verdict
from medforge.simulation.benchmark.results.comparison import upper_bound
from medforge.simulation.benchmark.results.tasks import TasksResult, mean_auroc


def tasks_verdict(result: TasksResult) -> str:
    """Say which merge is best, what a plugin adds to LDA, how strangers are told, and what the default costs."""
    parts = (table_verdict(result), plugin_sentence(result), strangers_sentence(result), cost_sentence(result))
    return " ".join(part for part in parts if part)


def plugin_sentence(result: TasksResult) -> str:
    """Say what the plugins add to a closed-form head on the frozen base."""
    bound = upper_bound(result.rows)
    head = next((row for row in result.rows if row.key == "lda"), None)
    if bound is None or head is None:
        return ""
    gap = bound.mean.acc.mean - head.mean.acc.mean
    union = head.mean.union_acc
    text = (
        f"LDA on the frozen base, no plugin at all, has {measured(head.mean.acc)}; the plugins lie {against(gap)} it."
    )
    return f"{text} Among all prompts LDA has {measured(union)}." if union else text


def strangers_sentence(result: TasksResult) -> str:
    """Say how well a task that was left out is told."""
    found = result.abstention[0]
    return f"A task left out is told from the others with a mean AUROC of {number(mean_auroc(found, 'task'))}."


def cost_sentence(result: TasksResult) -> str:
    """Say what the first model costs."""
    first = result.cost[0]
    return f"“{first.label}” takes {first.passes[-1]:.0f} passes an image for {len(first.passes)} tasks."
