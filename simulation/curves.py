"""How the centres' training and distillation went, epoch by epoch and step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from medforge.client.records import DistillationRecord, TrainingRecord
from medforge.client.workspace import Workspace
from medforge.look.chart import Chart
from medforge.look.chart_style import STYLE, colour, literal, marker


@dataclass(frozen=True)
class Course:
    """Hold what a centre's workspace says of its training and distillation, as far as they are done."""

    centre: str
    training: TrainingRecord | None
    distillation: DistillationRecord | None

    @classmethod
    def of(cls, centre: str, workspace: Workspace) -> Course:
        """Read a workspace."""
        return cls(centre, workspace.trained, workspace.distilled)


def training_chart(courses: Sequence[Course]) -> Chart | None:
    """Draw losses and validation accuracy of every centre's plugin, epoch by epoch; None where nobody trained."""
    shown = [(one.centre, one.training) for one in courses if one.training is not None]
    if not shown:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.4), layout="constrained")
        losses, accuracy = figure.subplots(1, 2)
        for place, (name, record) in enumerate(shown):
            epochs = [one.epoch for one in record.epochs]
            paint, sign = colour(place), marker(place)
            losses.plot(epochs, [one.train_loss for one in record.epochs], color=paint, lw=1.2, ls=":")
            losses.plot(epochs, [one.loss for one in record.epochs], color=paint, lw=1.8, marker=sign, ms=4)
            accuracy.plot(
                epochs, [one.acc for one in record.epochs], color=paint, lw=1.8, marker=sign, ms=4, label=literal(name)
            )
            accuracy.plot(record.best.epoch, record.best.acc, marker=sign, ms=9, mfc="none", mec=paint, lw=0)
        losses.set_title("loss: validation (solid), training (dotted)", loc="left", fontsize=10, fontweight="bold")
        accuracy.set_title("validation accuracy (ring: kept)", loc="left", fontsize=10, fontweight="bold")
        for axes in (losses, accuracy):
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside lower left", ncols=4, fontsize=9)
    gist = "; ".join(f"{name} {record.best.acc:.2f} at epoch {record.best.epoch}" for name, record in shown)
    rows = tuple(
        (name, one.epoch, one.train_loss, one.loss, one.acc, one.auc) for name, record in shown for one in record.epochs
    )
    head = ("centre", "epoch", "training loss", "validation loss", "validation accuracy", "validation AUC")
    return Chart("training", figure, f"Training curves; best validation accuracy: {gist}.", head, rows)


def distillation_chart(courses: Sequence[Course]) -> Chart | None:
    """Draw what a plugin trained on the distilled images alone reaches, candidate by candidate; None for nobody."""
    shown = [(one.centre, one.distillation) for one in courses if one.distillation is not None]
    if not shown:
        return None
    with rc_context(STYLE):
        figure = Figure(figsize=(8.6, 3.0), layout="constrained")
        axes = figure.add_subplot()
        for place, (name, record) in enumerate(shown):
            steps = [one.step for one in record.candidates]
            paint, sign = colour(place), marker(place)
            axes.plot(
                steps,
                [one.acc for one in record.candidates],
                color=paint,
                lw=1.8,
                marker=sign,
                ms=5,
                label=literal(name),
            )
            axes.plot(record.best.step, record.best.acc, marker=sign, ms=10, mfc="none", mec=paint, lw=0)
        axes.set_xlim(left=0)
        axes.set_xlabel("distillation step")
        axes.set_ylabel("validation accuracy")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside lower left", ncols=4, fontsize=9)
    gist = "; ".join(f"{name} {record.best.acc:.2f} at step {record.best.step}" for name, record in shown)
    rows = tuple(
        (name, one.step, one.acc, one.loss, one.discriminant) for name, record in shown for one in record.candidates
    )
    head = ("centre", "step", "validation accuracy", "validation loss", "discriminant's accuracy")
    return Chart("distillation", figure, f"What the distilled images alone teach; kept: {gist}.", head, rows)
