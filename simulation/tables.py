"""The table that a run ends with."""

from __future__ import annotations

from rich.table import Table

from medforge.simulation.result import Score, SimulationResult


def result_table(result: SimulationResult) -> Table:
    """Draw each centre's own plugin beside the main branch, and the means."""
    table = Table(
        title="test scores: each centre's own plugin, and the one main branch", title_justify="left", title_style="bold"
    )
    table.add_column("centre", no_wrap=True)
    table.add_column("arrival", justify="right")
    for head in ("own ACC", "own AUC", "merged ACC", "merged AUC"):
        table.add_column(head, justify="right")
    for centre in result.centres:
        arrival = str(centre.arrival) if centre.arrived else "[red]did not arrive[/red]"
        table.add_row(centre.name, arrival, *cells(centre.individual), *cells(centre.merged))
    table.add_section()
    table.add_row("mean", "", *cells(result.mean.individual), *cells(result.mean.merged), style="bold")
    return table


def cells(score: Score | None) -> tuple[str, str]:
    """Write accuracy and AUC with three digits."""
    return ("–", "–") if score is None else (f"{score.acc:.3f}", f"{score.auc:.3f}")
