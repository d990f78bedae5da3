"""An assessment as a directory of figures and tables."""

from __future__ import annotations

from medforge.assessment.figures import charts_of
from medforge.assessment.latex import latex_tables
from medforge.assessment.result import Assessment
from medforge.assessment.tables import numbers_csv


def files_of(assessment: Assessment, prefix: str = "") -> dict[str, bytes]:
    """Return every figure as SVG, PDF and CSV, and the numbers as CSV, LaTeX and JSON; names begin with `prefix`."""
    found = {name: data for chart in charts_of(assessment, prefix) for name, data in chart.files().items()}
    return {
        **found,
        f"{prefix}numbers.csv": numbers_csv(assessment).encode(),
        f"{prefix}numbers.tex": latex_tables(assessment).encode(),
        f"{prefix}assessment.json": (assessment.model_dump_json(indent=2) + "\n").encode(),
    }
