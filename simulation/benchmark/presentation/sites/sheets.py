"""One task at several centres as text: every model on every centre, and what is sent."""

from __future__ import annotations

from medforge.simulation.benchmark.presentation.answer_counts import AnswerCounts
from medforge.simulation.benchmark.presentation.numbers_in_words import NONE, listed, measured, size
from medforge.simulation.benchmark.presentation.sheets import Column, Section, Sheet
from medforge.simulation.benchmark.results.comparison import by_section
from medforge.simulation.benchmark.results.rows import Row
from medforge.simulation.benchmark.results.scores import Cell
from medforge.simulation.benchmark.results.sites import SitesResult


def centre_sheet(result: SitesResult) -> Sheet:
    """Write ACC over AUC of every model on every centre, and how its mean lies to the best centre alone."""
    columns = (
        Column("model", words=True),
        *(Column(f"on {name}\nACC, AUC") for name in result.centres),
        Column("mean\nACC, AUC", f"over {listed(result.compared)}, each counting the same"),
        Column("to the best\ncentre alone", "difference of the mean accuracies, in percentage points"),
    )
    counts = AnswerCounts.of(result)
    rival = result.mean(result.best_alone).acc.mean

    def line(row: Row) -> tuple[str, ...]:
        cells = [result.cell(row, name) for name in result.centres]
        gap = result.mean(row).acc.mean - rival
        away = (
            NONE if row.key == result.best_alone.key else f"{100 * gap:+.1f}".replace("-", "−").replace("−0.0", "+0.0")
        )
        ours = [_two(cell, counts.tasks.get(name)) for cell, name in zip(cells, result.centres, strict=True)]
        return (row.label, *ours, _two(result.mean(row), counts.mean), away)

    sections = tuple(Section(name, tuple(map(line, rows))) for name, rows in by_section(result.rows).items())
    return Sheet(f"{result.title}: {result.task}", columns, sections)


def _two(cell: Cell | None, answers: int | None) -> str:
    return f"{measured(cell.acc, answers)}\n{measured(cell.auc, answers)}" if cell else NONE


def traffic_sheet(result: SitesResult) -> Sheet:
    """Write what travels between the centres and a server."""
    columns = (
        Column("what is sent", words=True),
        Column("rounds"),
        Column("bytes", "to the server and back, all centres"),
    )
    lines = tuple((one.label, str(one.rounds), size(one.bytes)) for one in result.traffic)
    return Sheet("What is sent", columns, (Section("", lines),))
