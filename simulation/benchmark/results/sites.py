"""What comes of several centres of one task; pure data, and readings of it."""

from __future__ import annotations

from statistics import fmean
from typing import Literal

from medforge.simulation.benchmark.results.result_model import RowsResult
from medforge.simulation.benchmark.results.rows import Row
from medforge.simulation.benchmark.results.scores import Measure
from medforge.simulation.result import Model

DEFAULT = "routed"


class Growth(Model):
    """Hold a model's accuracy on every centre after 1, 2, … arrivals, seed by seed (as text, for JSON)."""

    key: str
    label: str
    seeds: dict[str, tuple[dict[str, float], ...]]

    def mean(self, arrivals: int) -> Measure:
        """Average over centres, each counting the same, and then over seeds."""
        return Measure.of([fmean(steps[arrivals - 1].values()) for steps in self.seeds.values()])


class Traffic(Model):
    """Hold what a way to train together sends between the centres and a server, a mean over seeds."""

    key: str
    label: str
    rounds: int
    bytes: float


class SitesResult(RowsResult):
    """Hold every model's scores on every centre, how they grow with the centres, and what is sent for them.

    The centres are the tasks of the rows and of the provenance. A row's scores are among all classes of the task.
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
        return max(self.of_role("centre"), key=lambda row: row.mean.acc.mean)
