"""`medforge doctor`: what is not in order between a centre and its forge."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.cli.lines import flow
from medforge.cli.output import AsJson, say_json
from medforge.client.cli import complete
from medforge.proto.options import ConnectionOptions

if TYPE_CHECKING:
    from medforge.client.doctor.diagnosis import Diagnosis

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red", "skipped": "bright_black"}
_CHECK, _STATE = 13, 7


def doctor(
    forge: ConnectionOptions,
    workspace: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Check this workspace's branch and disk too.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE", help="Read these images too, as medforge check does.", autocompletion=complete.sources
        ),
    ] = None,
    disk_gib: Annotated[float, typer.Option(metavar="GIB", min=0, help="How many GiB must be free.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """See whether everything between this centre and its forge is in order, and how to mend what is not.

    Ends with 1 where there is a problem.

    Example:
        medforge doctor --kit kit --workspace clinic
    """
    from medforge.client.doctor.examination import examine

    found = examine(forge.connection(), workspace, disk_gib, source)
    if as_json:
        say_json([vars(one) for one in found])
    else:
        for line in _lines(found, shutil.get_terminal_size().columns):
            typer.echo(line)
    if any(one.state == "problem" for one in found):
        raise typer.Exit(1)


def _lines(found: list[Diagnosis], width: int) -> Iterator[str]:
    """Return a line or more for each check: its name, how it stands, what was found, and how to mend it."""
    for one in found:
        start = f"{one.check:{_CHECK}}"
        state = typer.style(one.state, fg=_COLOURS[one.state])
        first, *more = flow((f"{start}{one.state:{_STATE}}", one.what, one.fix), width, 2)
        yield start + state + first[len(start) + len(one.state) :]
        yield from more
