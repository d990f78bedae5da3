"""One task at several centres as text: every model on every centre, and what is sent."""

from __future__ import annotations

from medforge.simulation.benchmark.presentation.numbers_in_words import NONE, measured, points, size
from medforge.simulation.benchmark.presentation.sheets import Column, Section, Sheet
from medforge.simulation.benchmark.results.comparison import by_section
from medforge.simulation.benchmark.results.rows import Row
from medforge.simulation.benchmark.results.sites import SitesResult


def centre_sheet(result: SitesResult) -> Sheet:
    """Write ACC over AUC of every model on every centre, and how its mean lies to the best centre alone."""
    columns = (
        Column("model", words=True),
        *(Column(f"on {name}\nACC, AUC") for name in result.centres),
        Column("mean\nACC, AUC", "over centres, each counting the same"),
        Column("to the best\ncentre alone", "difference of the mean accuracies, in percentage points"),
    )
    rival = result.best_alone.mean.acc.mean

    def line(row: Row) -> tuple[str, ...]:
        cells = [row.cell(name) for name in result.centres]
        gap = row.mean.acc.mean - rival
        sign = "+" if gap > 0 else "−"
        away = NONE if row.key == result.best_alone.key else f"{sign}{points(gap).split(' ')[0]}"
        return (row.label, *(f"{measured(c.acc)}\n{measured(c.auc)}" for c in (*cells, row.mean)), away)

    sections = tuple(Section(name, tuple(map(line, rows))) for name, rows in by_section(result.rows).items())
    return Sheet(f"{result.title}: {result.task}", columns, sections)


def traffic_sheet(result: SitesResult) -> Sheet:
    """Write what travels between the centres and a server."""
    columns = (
        Column("what is sent", words=True),
        Column("rounds"),
        Column("bytes", "to the server and back, all centres"),
    )
    lines = tuple((one.label, str(one.rounds), size(one.bytes)) for one in result.traffic)
    return Sheet("What is sent", columns, (Section("", lines),))
