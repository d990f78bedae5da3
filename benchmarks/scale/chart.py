"""The curve: what an arrival cost the server, and what it held in memory, over the arrivals so far."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmarks.scale.results import Results
from medforge.files import write_atomically
from medforge.look.chart_style import STYLE, colour, literal, svg

_MB = 1_000_000


def draw(runs: Sequence[Results], out: Path) -> None:
    """Draw CPU seconds of an arrival and resident memory of the server, one line a run, over the arrivals."""
    with rc_context({**STYLE, "axes.grid.axis": "both"}):
        figure = Figure(figsize=(8.6, 3.4), layout="constrained")
        seconds, memory = figure.subplots(1, 2)
        for place, run in enumerate(runs):
            places = [one.arrival for one in run.steady]
            style = {"color": colour(place), "lw": 1.4}
            seconds.plot(places, [one.cpu for one in run.steady], label=literal(run.name), **style)
            memory.plot(places, [one.resident / _MB for one in run.steady], **style)
        seconds.set_title("CPU seconds of the server per arrival", loc="left", fontsize=10, fontweight="bold")
        memory.set_title("resident memory of the server, MB", loc="left", fontsize=10, fontweight="bold")
        for axes in (seconds, memory):
            axes.set_xscale("log")
            axes.set_xlabel("arrivals so far")
            axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower left", ncols=3, fontsize=9)
    write_atomically(out, svg(figure).encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw what runs wrote."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path, help="the picture, SVG")
    parser.add_argument("results", type=Path, nargs="+", help="what runs wrote")
    options = parser.parse_args(arguments)
    draw([Results.load(path) for path in options.results], options.out)
    return 0
