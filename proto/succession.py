"""A forge's signing keys in their order: each signs the one that follows it, so that who knows one knows the next."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field

from medforge.proto.errors import NotAllowed
from medforge.proto.signing import SUCCESSION, public_bytes, sign, verify
from medforge.proto.statements import succession_statement

LONGEST_CHAIN = 1000
"""Keys that one forge may have had."""


class KeySuccession(BaseModel):
    """Say that a forge (a UUID) signs with a successor since a time (RFC 3339), in the words of its key before.

    Keys are the public halves of Ed25519 keys, 64 hex digits; `signature` is by `key`, in hex.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    forge: str = Field(min_length=1)
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    successor: str = Field(pattern=r"^[0-9a-f]{64}$")
    since: str = Field(min_length=1, max_length=40)
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")

    @classmethod
    def issue(cls, key: Ed25519PrivateKey, forge: str, successor: str, since: str) -> KeySuccession:
        """Sign with the old key which key follows it."""
        signature = sign(key, SUCCESSION, succession_statement(forge, successor, since))
        return cls(
            forge=forge, key=public_bytes(key).hex(), successor=successor, since=since, signature=signature.hex()
        )

    def verify(self) -> None:
        """Raise NotAllowed unless the owner of `key` signed exactly this."""
        statement = succession_statement(self.forge, self.successor, self.since)
        try:
            verify(bytes.fromhex(self.key), SUCCESSION, statement, bytes.fromhex(self.signature))
        except NotAllowed as error:
            raise NotAllowed(
                f"the forge's key {self.key[:12]} did not sign that {self.successor[:12]} follows it; ask whoever runs "
                f"the forge for a new kit"
            ) from error


def follow(chain: Sequence[KeySuccession], forge: str, key: str) -> tuple[KeySuccession, ...]:
    """Return the links that lead from a forge's key (hex) to its newest one, each verified; none where it is that.

    Raises NotAllowed for a link that its key did not sign, or a chain that forks or goes in a circle.
    """
    by_key = {link.key: link for link in chain}
    if len(by_key) != len(chain) or len(chain) > LONGEST_CHAIN:
        raise NotAllowed("the forge names two successors of one key; ask whoever runs the forge for a new kit")
    links: list[KeySuccession] = []
    while key in by_key:
        link = by_key[key]
        if link.forge != forge or link in links:
            raise NotAllowed(
                f"what follows the forge's key {key[:12]} is another forge's, or goes in a circle; ask whoever runs "
                "the forge for a new kit"
            )
        link.verify()
        links.append(link)
        key = link.successor
    return tuple(links)
