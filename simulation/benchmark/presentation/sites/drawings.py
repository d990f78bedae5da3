"""The charts of one task at several centres, with words for each."""

from __future__ import annotations

from medforge.simulation.benchmark.presentation.numbers_in_words import number
from medforge.simulation.benchmark.presentation.renderer import Drawing
from medforge.simulation.benchmark.presentation.sites.charts import growth, in_order, matrix
from medforge.simulation.benchmark.results.sites import SitesResult


def matrix_drawing(result: SitesResult) -> Drawing:
    """Draw home and away."""
    gist = "; ".join(
        f"{row.label}: "
        + ", ".join(
            f"{name} {number(cell.acc.mean if cell else None)}"
            for name in result.centres
            for cell in (result.cell(row, name),)
        )
        for row in in_order(result)
    )
    return Drawing(
        name="sites-matrix",
        figure=matrix(result),
        title="Home and away",
        caption="Accuracy of every model (line) on the test images of every centre (column), a mean over seeds. "
        "Framed: a centre's own plugin at home; the rest of its line is away.",
        alt=f"A table in colours of accuracy: {gist}.",
    )


def growth_drawing(result: SitesResult) -> Drawing:
    """Draw accuracy against the number of centres."""
    count = len(result.centres)
    gist = "; ".join(
        f"{line.label} " + ", ".join(number(line.mean(step, result.compared).mean) for step in range(1, count + 1))
        for line in result.growth
    )
    seeds = len(result.provenance.seeds)
    band = f" Bands: one standard deviation over {seeds} seeds." if seeds > 1 else ""
    return Drawing(
        name="sites-growth",
        figure=growth(result),
        title="Accuracy against the number of centres",
        caption="Mean over the test images of all centres, of those too that have not arrived yet. Without markers: "
        f"the best centre alone, federated averaging and pooled training, which have all centres at once.{band}",
        alt=f"Lines of mean accuracy after each arrival: {gist}.",
    )
