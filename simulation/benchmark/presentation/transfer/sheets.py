"""Training on new tasks as text: how fast each start learns, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence

from medforge.simulation.benchmark.presentation.numbers_in_words import epochs, measured
from medforge.simulation.benchmark.presentation.sheets import Column, Section, Sheet
from medforge.simulation.benchmark.results.curves import SHARE, accuracy_at, best, over_seeds, reached, tasks_of
from medforge.simulation.benchmark.results.result import TransferResult, TransferStart


def transfer_sheet(result: TransferResult) -> Sheet:
    """Write how fast each start learns the task left out, and what it ends with."""
    tasks = tasks_of(result)
    columns = (
        Column("starts from", words=True),
        Column("epoch 0", "validation accuracy before training, and after 1 and 2 epochs", name="epoch 0, 1, 2"),
        Column("epoch 1"),
        Column("epoch 2"),
        Column("best\nepoch", "highest validation accuracy after an epoch of training"),
        Column(
            f"epochs to\n{SHARE * 100:.0f} %", "until that share of the fresh plugin's best; (3 of 9): of those runs"
        ),
        Column("test\nACC, AUC", "on the test split, with the plugin of the epoch chosen on validation"),
    )

    def line(start: TransferStart, names: Sequence[str]) -> tuple[str, ...]:
        early = [measured(accuracy_at(start, names, epoch)) for epoch in range(3)]
        acc = over_seeds(start, names, lambda run: run.test.acc)
        auc = over_seeds(start, names, lambda run: run.test.auc)
        test = f"{measured(acc)}\n{measured(auc)}"
        return (
            start.label,
            *early,
            measured(over_seeds(start, names, best)),
            epochs(reached(result, start, names)),
            test,
        )

    sections = [Section(task, tuple(line(start, (task,)) for start in result.starts)) for task in tasks]
    mean = Section("mean over tasks", tuple(line(start, tasks) for start in result.starts))
    return Sheet(
        f"{result.title}: each task left out", columns, (*sections, mean) if len(tasks) > 1 else tuple(sections)
    )
