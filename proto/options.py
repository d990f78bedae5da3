"""Options of the command line that say which forge is called, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

if TYPE_CHECKING:
    from medforge.proto.connection import Connection


@dataclass(frozen=True)
class ConnectionOptions:
    """Hold what was typed of the connection to a forge."""

    PANEL: ClassVar[str] = "Forge"

    kit: Annotated[Path | None, typer.Option(metavar="DIR", help="Your startup kit, which `medforge invite` made.")] = (
        None
    )
    at: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The forge's address. Default: the one in the kit.")
    ] = None
    plaintext: Annotated[
        bool,
        typer.Option("--plaintext", help="Call without TLS; something else, a VPN say, must guard the connection."),
    ] = False

    def connection(self) -> Connection:
        """Return the connection. Raises InvalidInput where no forge was named, and what `Kit.load` raises."""
        from medforge.proto.connection import Connection

        return Connection.from_options(self.at, self.kit, self.plaintext)

    def connection_if_asked(self) -> Connection | None:
        """Return the connection, or None where no forge was named."""
        from medforge.proto.connection import Connection

        return Connection.if_asked(self.at, self.kit, self.plaintext)
