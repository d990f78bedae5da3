"""What came out of training on new tasks, in plain words computed from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from medforge.simulation.benchmark.presentation.numbers_in_words import against, epochs, measured
from medforge.simulation.benchmark.results.curves import SHARE, accuracy_at, over_seeds, reached, start_of, tasks_of
from medforge.simulation.benchmark.results.result import TransferResult, TransferStart
from medforge.simulation.benchmark.results.scores import Measure


def transfer_verdict(result: TransferResult) -> str:
    """Compare the starts early, in the number of epochs, and in the end."""
    tasks = tasks_of(result)
    fresh, merged, shape = (start_of(result, key) for key in ("fresh", "merged", "shape"))

    def first(start: TransferStart, names: Sequence[str] = tasks) -> Measure:
        return over_seeds(start, names, lambda run: run.validation[1])

    ahead = sum(first(merged, (task,)).mean > first(fresh, (task,)).mean for task in tasks)
    gap = first(merged).mean - first(fresh).mean
    test = {s.key: over_seeds(s, tasks, lambda run: run.test.acc) for s in (fresh, merged, shape)}
    end = test["merged"].mean - test["fresh"].mean
    return (
        f"After one epoch on a new task, a plugin that starts from the Med-LEGO merge of the other tasks has a "
        f"validation accuracy of {measured(first(merged))} against {measured(first(fresh))} from a fresh one, "
        f"{against(gap)} it, a mean over {_tasks(len(tasks))} ({ahead} of {len(tasks)} ahead); a fresh plugin of the "
        f"merge's ranks has {measured(first(shape))}. In the end, on the test split: {measured(test['merged'])} "
        f"against {measured(test['fresh'])}, {against(end)} it; of the merge's ranks, {measured(test['shape'])}."
    )


def transfer_finding(result: TransferResult, task: str) -> str:
    """Say of one task left out where each start begins, how long it takes, and where it ends."""
    parts = []
    for start in result.starts:
        before, found = accuracy_at(start, (task,), 0), reached(result, start, (task,))
        test = over_seeds(start, (task,), lambda run: run.test.acc)
        parts.append(
            f"{start.label}: {measured(before)} before training, {epochs(found)} epochs to {SHARE * 100:.0f} % of the "
            f"fresh plugin's best, {measured(test)} on the test split"
        )
    return f"{task}, left out. {'; '.join(parts)}."


def _tasks(count: int) -> str:
    return "one task" if count == 1 else f"{count} tasks"
