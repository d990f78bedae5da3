"""Planes as text: how many points each class has, and how close the distilled lie to the real."""

from __future__ import annotations

from medforge.simulation.benchmark.presentation.numbers_in_words import NONE
from medforge.simulation.benchmark.presentation.sheets import Column, Section, Sheet
from medforge.simulation.benchmark.results.plane import planes
from medforge.simulation.benchmark.results.result import FigureResult


def plane_sheet(result: FigureResult) -> Sheet:
    """Write how many points each class has, and how close the distilled lie to the real."""
    sections = []
    for plane in planes(result.points):
        lines = tuple(
            (
                cloud.label,
                str(len(cloud.real)),
                str(len(cloud.distilled)),
                NONE if share is None else f"{share * 100:.0f} %",
            )
            for cloud, share in zip(plane.clouds, plane.kinship().values(), strict=True)
        )
        sections.append(Section(plane.task, lines))
    columns = (
        Column("class prompt", words=True),
        Column("real"),
        Column("distilled"),
        Column(
            "among its own", "share of the distilled images whose nearest real image in the plane is of their class"
        ),
    )
    return Sheet(f"{result.title}, points", columns, tuple(sections))
