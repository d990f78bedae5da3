"""The renderer of training on new tasks."""

from __future__ import annotations

from collections.abc import Iterator

from medforge.look.csv_text import csv_text
from medforge.simulation.benchmark.presentation.renderer import Drawing, Renderer
from medforge.simulation.benchmark.presentation.sheets import Sheet
from medforge.simulation.benchmark.presentation.transfer.curves import transfer_picture
from medforge.simulation.benchmark.presentation.transfer.drawings import curves_drawing
from medforge.simulation.benchmark.presentation.transfer.sheets import transfer_sheet
from medforge.simulation.benchmark.presentation.transfer.verdict import transfer_finding, transfer_verdict
from medforge.simulation.benchmark.results.curves import tasks_of
from medforge.simulation.benchmark.results.result import TransferResult

CURVES = ("experiment", "start", "seed", "epoch", "task", "measure", "value")


class TransferRenderer(Renderer[TransferResult]):
    """Show how fast tasks are learned that a merge has never seen."""

    findings_title = "Every task in words"

    def verdict(self) -> str:
        """Compare the starts early, in the number of epochs, and in the end."""
        return transfer_verdict(self.result)

    def findings(self) -> tuple[str, ...]:
        """Say of each task where each start begins, how long it takes, and where it ends."""
        return tuple(transfer_finding(self.result, task) for task in tasks_of(self.result))

    def sheets(self) -> tuple[Sheet, ...]:
        """Write how fast each start learns, and what it ends with."""
        return (transfer_sheet(self.result),)

    def drawings(self) -> tuple[Drawing, ...]:
        """Draw accuracy against epochs."""
        return (curves_drawing(self.result),)

    def csv(self) -> str:
        """Write one row a start, seed, task and epoch (0 before training), and the chosen epoch's test scores."""
        return csv_text(CURVES, self._lines())

    def pictures(self) -> dict[str, bytes]:
        """Add the curves as PNG."""
        return {**super().pictures(), f"{self.result.experiment}.png": transfer_picture(self.result)}

    def _lines(self) -> Iterator[tuple[str, ...]]:
        name = self.result.experiment
        for start in self.result.starts:
            for task, runs in start.tasks.items():
                for seed, run in runs.items():
                    for epoch, value in enumerate(run.validation):
                        yield name, start.key, seed, str(epoch), task, "validation_acc", repr(value)
                    for measure, value in (("test_acc", run.test.acc), ("test_auc", run.test.auc)):
                        yield name, start.key, seed, str(run.chosen), task, measure, repr(value)
