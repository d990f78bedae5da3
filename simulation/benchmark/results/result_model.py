"""What every experiment's result says of itself."""

from __future__ import annotations

from medforge.simulation.benchmark.results.provenance import Provenance
from medforge.simulation.benchmark.results.rows import Row
from medforge.simulation.result import Model


class ExperimentResult(Model):
    """Hold what every experiment's result says of itself."""

    format: int = 1
    experiment: str
    title: str
    notes: tuple[str, ...]
    provenance: Provenance


class RowsResult(ExperimentResult):
    """Hold a table: a method a row."""

    rows: tuple[Row, ...]
