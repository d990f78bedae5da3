"""The chart of training on new tasks, with words for it."""

from __future__ import annotations

from medforge.simulation.benchmark.presentation.numbers_in_words import number
from medforge.simulation.benchmark.presentation.renderer import Drawing
from medforge.simulation.benchmark.presentation.transfer.curves import transfer_curves
from medforge.simulation.benchmark.results.curves import accuracy_at, last_epoch, tasks_of
from medforge.simulation.benchmark.results.result import TransferResult


def curves_drawing(result: TransferResult) -> Drawing:
    """Draw accuracy against epochs for every task left out."""
    tasks = tasks_of(result)
    gist = []
    for task in tasks:
        ends = [
            (s.label, accuracy_at(s, (task,), 0), accuracy_at(s, (task,), last_epoch(s, (task,))))
            for s in result.starts
        ]
        gist.append(
            f"{task}: " + ", ".join(f"{label} {number(a.mean)} to {number(b.mean)}" for label, a, b in ends if a and b)
        )
    seeds = len(result.provenance.seeds)
    band = f" Lines: mean over {seeds} seeds; bands: one standard deviation." if seeds > 1 else ""
    return Drawing(
        name=f"{result.experiment}-curves",
        figure=transfer_curves(result),
        title="Accuracy against epochs on a task that the merge has never seen",
        caption="Validation accuracy on the task left out, epoch 0 before any training. Solid: trained from a fresh "
        "plugin, and from the Med-LEGO merge of the other tasks' plugins; dashed: from a fresh plugin that has the "
        f"merge's ranks.{band}",
        alt=f"Lines of validation accuracy from epoch 0 to the last: {'; '.join(gist)}.",
    )
