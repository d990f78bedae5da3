"""What there is to know of a model of many tasks beside its scores, as text."""

from __future__ import annotations

from medforge.simulation.benchmark.presentation.numbers_in_words import measured
from medforge.simulation.benchmark.presentation.sheets import Column, Section, Sheet
from medforge.simulation.benchmark.presentation.tasks.charts import stranger
from medforge.simulation.benchmark.results.tasks import Abstention, TasksResult


def strangers_sheet(result: TasksResult) -> Sheet:
    """Write how well every sort of strangers is told, under each router."""
    columns = (
        Column("strangers", words=True),
        Column("AUROC", "how well the distance ranks strangers behind own test images"),
        Column("accepted\nat 95 %", "strangers nearer than the furthest 5 % of own test images"),
        Column("accepted\nat the limit", "strangers within the limit that the sites' validation images set"),
        Column("own refused\nat the limit", "own test images beyond it"),
    )

    def line(found: Abstention, name: str) -> tuple[str, ...]:
        numbers = (found.of(name, what) for what in ("auroc", "accepted", "passed", "refused"))
        return (stranger(result, name), *map(measured, numbers))

    sections = tuple(
        Section(f"router of {found.label}", tuple(line(found, name) for name in found.names))
        for found in result.abstention
    )
    return Sheet("Images of no task", columns, sections)


def calibration_sheet(result: TasksResult) -> Sheet:
    """Write calibration error and loss before and after the sites' temperatures."""
    columns = (
        Column("model", words=True),
        Column("error\nwithout", "expected calibration error, ten bins, without the sites' temperatures"),
        Column("error\nwith", "the same with them"),
        Column("loss\nwithout", "mean negative log-likelihood, in nats, without the sites' temperatures"),
        Column("loss\nwith", "the same with them"),
    )
    lines = []
    for one in result.calibration:
        (error, loss), (later, less) = one.over(one.before), one.over(one.after)
        lines.append((one.label, measured(error), measured(later), measured(loss), measured(less)))
    return Sheet("How sure, and how often right", columns, (Section("", tuple(lines)),))


def cost_sheet(result: TasksResult) -> Sheet:
    """Write passes and milliseconds an image, for one task and for all."""
    count = len(result.provenance.tasks)
    columns = (
        Column("model", words=True),
        Column("passes\n1 task", "of the visual tower an image"),
        Column(f"passes\n{count} tasks"),
        Column("ms\n1 task", "milliseconds an image"),
        Column(f"ms\n{count} tasks"),
    )
    lines = tuple(
        (
            one.label,
            *(f"{value:.1f}" for value in (one.passes[0], one.passes[-1], 1e3 * one.seconds[0], 1e3 * one.seconds[-1])),
        )
        for one in result.cost
    )
    return Sheet("Cost", columns, (Section("", lines),))
