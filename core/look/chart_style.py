"""How every chart of the report looks.

Colours are Okabe and Ito's colour-blind-safe set; a centre keeps its colour and marker in every chart, so that no chart
depends on colour alone.
"""

from __future__ import annotations

import io
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import rc_context
from matplotlib.figure import Figure

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a6a00", "#444444")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK = "#1f2933"
MUTED = "#6b7785"
GRID = "#e3e8ee"

STYLE: dict[Any, Any] = {
    # Text stays text: it takes the reader's own sans-serif, can be searched, and keeps the file small.
    "svg.fonttype": "none",
    # Element names come from this salt, not from chance: the same run gives the same report, byte for byte.
    "svg.hashsalt": "medforge",
    # whole letters, which any program can edit and search
    "pdf.fonttype": 42,
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def colour(index: int) -> str:
    """Return the colour of the centre (or class) at this place."""
    return PALETTE[index % len(PALETTE)]


def marker(index: int) -> str:
    """Return the marker of the centre (or class) at this place."""
    return MARKERS[index % len(MARKERS)]


def literal(text: str) -> str:
    """Return text that a chart prints as it is; dollar signs would begin a formula."""
    return text.replace("$", r"\$")


def svg(figure: Figure) -> str:
    """Draw a figure as an SVG document without a date in it."""
    buffer = io.StringIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def pdf(figure: Figure) -> bytes:
    """Draw a figure as a PDF without a date in it, its letters as letters."""
    buffer = io.BytesIO()
    nothing = {"CreationDate": None, "Creator": None, "Producer": None}
    with rc_context(STYLE):
        figure.savefig(buffer, format="pdf", bbox_inches="tight", metadata=nothing)
    return buffer.getvalue()
