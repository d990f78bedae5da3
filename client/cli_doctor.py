"""The command `medforge doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medforge.client.doctor import Diagnosis

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red", "skipped": "dim"}


def doctor(
    kit: Annotated[Path | None, typer.Option("--kit", metavar="DIR", help="Your startup kit.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="HOST:PORT", help="The forge's address. Default: the one in the kit.")
    ] = None,
    plaintext: Annotated[bool, typer.Option("--plaintext", help="Call without TLS.")] = False,
    workspace: Annotated[Path | None, typer.Option(help="Check this workspace's branch and disk too.")] = None,
    disk_gib: Annotated[float, typer.Option("--disk-gib", min=0, help="How many GiB must be free.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a script.")] = False,
) -> None:
    """See whether everything between this centre and its forge is in order, and how to mend what is not."""
    from medforge.client.doctor import examine
    from medforge.proto.connection import Connection

    found = examine(Connection.from_options(at, kit, plaintext), workspace, disk_gib)
    if as_json:
        typer.echo(json.dumps([vars(one) for one in found], indent=2))
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
