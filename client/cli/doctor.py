"""`medforge doctor`: what is not in order between a centre and its forge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.cli.output import AsJson, say_json
from medforge.proto.options import ConnectionOptions

if TYPE_CHECKING:
    from medforge.client.doctor import Diagnosis

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red", "skipped": "dim"}


def doctor(
    forge: ConnectionOptions,
    workspace: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Check this workspace's branch and disk too.")
    ] = None,
    disk_gib: Annotated[float, typer.Option(metavar="GIB", min=0, help="How many GiB must be free.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """See whether everything between this centre and its forge is in order, and how to mend what is not.

    Ends with 1 where there is a problem.

    Example:
        medforge doctor --kit kit --workspace clinic
    """
    from medforge.client.doctor import examine

    found = examine(forge.connection(), workspace, disk_gib)
    if as_json:
        say_json([vars(one) for one in found])
    else:
        _print(found)
    if any(one.state == "problem" for one in found):
        raise typer.Exit(1)


def _print(found: list[Diagnosis]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("check", "", "what was found", "how to fix it")
    for one in found:
        colour = _COLOURS[one.state]
        table.add_row(one.check, f"[{colour}]{one.state}[/]", escape(one.what), escape(one.fix))
    Console().print(table)
