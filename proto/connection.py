"""How a forge is reached: made once from the command line, and handed to whatever calls the forge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medforge.errors import InvalidInput
from medforge.proto.address import split_address
from medforge.proto.kit import Kit


@dataclass(frozen=True)
class Connection:
    """Hold a forge's address (HOST:PORT), the caller's kit if there is one, and whether `plaintext` is meant.

    With a kit the connection is mutual TLS, and what is sent is signed. With `plaintext` nothing is encrypted, which
    has to be said for any other machine than this one; a kit beside it then only signs.
    """

    address: str
    kit: Kit | None = None
    plaintext: bool = False

    @classmethod
    def from_options(cls, at: str | None, kit: Path | None, plaintext: bool = False) -> Connection:
        """Open the kit of a directory, if one is given; without an address it is the kit's own.

        Raises InvalidInput where neither is given or it is no HOST:PORT, and what `Kit.load` raises.
        """
        opened = Kit.load(kit) if kit is not None else None
        address = at or (opened.card.address if opened else None)
        if address is None:
            raise InvalidInput("no forge is named; give your kit with --kit DIR, or its address with --at HOST:PORT")
        split_address(address)
        return cls(address, opened, plaintext)

    @classmethod
    def if_asked(cls, at: str | None, kit: Path | None, plaintext: bool = False) -> Connection | None:
        """Return the same, or None where neither address nor kit is given."""
        return None if at is None and kit is None else cls.from_options(at, kit, plaintext)

    @property
    def tls(self) -> Kit | None:
        """The kit that secures the connection; None over plaintext."""
        return None if self.plaintext else self.kit
