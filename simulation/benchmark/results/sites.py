"""What comes of several centres of one task; pure data, and readings of it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from medforge.simulation.benchmark.results.result_model import RowsResult
from medforge.simulation.benchmark.results.rows import Row
from medforge.simulation.benchmark.results.scores import Cell, Measure, mean_over_tasks
from medforge.simulation.result import Model

DEFAULT = "routed"


class Growth(Model):
    """Hold a model's accuracy on every centre after 1, 2, … arrivals, seed by seed (as text, for JSON)."""

    key: str
    label: str
    seeds: dict[str, tuple[dict[str, float], ...]]

    def mean(self, arrivals: int, centres: Sequence[str]) -> Measure:
        """Average over centres, each counting the same, and then over seeds."""
        return Measure.of([fmean(steps[arrivals - 1][name] for name in centres) for steps in self.seeds.values()])


class Traffic(Model):
    """Hold what a way to train together sends between the centres and a server, a mean over seeds."""

    key: str
    label: str
    rounds: int
    bytes: float


class SitesResult(RowsResult):
    """Hold every model's scores on every centre, how they grow with the centres, and what is sent for them.

    The centres are the tasks of the rows and of the provenance. A row's scores are among all classes of the task; it
    has none on a centre that shares patients with one that the model was made from.
    """

    kind: Literal["sites"] = "sites"
    experiment: str = "sites"
    task: str
    growth: tuple[Growth, ...]
    traffic: tuple[Traffic, ...]

    @property
    def centres(self) -> tuple[str, ...]:
        """The names of the centres, in the order of arrival."""
        return tuple(facts.name for facts in self.provenance.tasks)

    def of_role(self, role: str) -> tuple[Row, ...]:
        """Return the rows of a role, in their order."""
        return tuple(row for row in self.rows if row.role == role)

    def row(self, key: str) -> Row | None:
        """Find a row by its key."""
        return next((row for row in self.rows if row.key == key), None)

    @property
    def best_alone(self) -> Row:
        """The centre whose own plugin has the highest mean over all centres."""
        return max(self.of_role("centre"), key=lambda row: self.mean(row).acc.mean)

    @property
    def compared(self) -> tuple[str, ...]:
        """The centres on which every model is tested, over which a mean is."""
        everywhere = [set(next(iter(row.seeds.values()))) for row in self.rows]
        return tuple(name for name in self.centres if all(name in there for there in everywhere))

    def mean(self, row: Row) -> Cell:
        """Average a row over the centres that all rows have, and over seeds."""
        seeds = [{name: scores[name] for name in self.compared} for scores in row.seeds.values()]
        return Cell.of([mean_over_tasks(scores) for scores in seeds])

    def cell(self, row: Row, centre: str) -> Cell | None:
        """Average a row on a centre over seeds; None where it is not tested there."""
        return row.cell(centre) if all(centre in scores for scores in row.seeds.values()) else None
