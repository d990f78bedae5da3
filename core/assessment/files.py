"""An assessment as a directory of figures and tables."""

from __future__ import annotations

from pathlib import Path

from medforge.assessment.figures import charts_of
from medforge.assessment.latex import latex_tables
from medforge.assessment.result import Assessment
from medforge.assessment.tables import numbers_csv
from medforge.errors import InvalidInput


def files_of(assessment: Assessment, prefix: str = "") -> dict[str, bytes]:
    """Return every figure as SVG, PDF and CSV, and the numbers as CSV, LaTeX and JSON; names begin with `prefix`."""
    found = {name: data for chart in charts_of(assessment, prefix) for name, data in chart.files().items()}
    return {
        **found,
        f"{prefix}numbers.csv": numbers_csv(assessment).encode(),
        f"{prefix}numbers.tex": latex_tables(assessment).encode(),
        f"{prefix}assessment.json": (assessment.model_dump_json(indent=2) + "\n").encode(),
    }


def check_empty(directory: Path) -> None:
    """Raise InvalidInput unless files can be put into a directory of this name: there is none, or an empty one."""
    if directory.exists() and not directory.is_dir():
        raise InvalidInput(f"--out {directory} is a file; choose a directory")
    if directory.is_dir() and any(directory.iterdir()):
        raise InvalidInput(f"--out {directory} is not empty; choose another directory, or empty it")
