"""The sentence of commands that use a kit which ends soon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from medforge.proto.connection import Connection


def say_kit_ends(connection: Connection) -> None:
    """Say on stderr that the kit of a connection ends within 30 days, if it does."""
    from medforge.proto.certificates import now

    sentence = connection.kit.ends_soon(now()) if connection.kit else None
    if sentence is not None:
        typer.echo(sentence, err=True)
