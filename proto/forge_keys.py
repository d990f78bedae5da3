"""Which key a forge's word must be signed with, for who holds a kit: the chain of keys as it travels."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from medforge.proto import forge_pb2 as pb
from medforge.proto.errors import NotAllowed
from medforge.proto.kit import Kit
from medforge.proto.succession import KeySuccession, follow


def chain_to_message(chain: Sequence[KeySuccession]) -> list[pb.KeySuccession]:
    """Put a chain into its messages, without the forge."""
    return [
        pb.KeySuccession(
            key=bytes.fromhex(link.key),
            successor=bytes.fromhex(link.successor),
            since=link.since,
            signature=bytes.fromhex(link.signature),
        )
        for link in chain
    ]


def followed(reply: pb.DescribeReply, kit: Kit | None) -> tuple[KeySuccession, ...]:
    """Return the links from the key that a kit knows to the one that its forge signs with now; none without a kit.

    Raises as `follow`; a forge of 0.1.0 tells none.
    """
    if kit is None:
        return ()
    try:
        chain = [
            KeySuccession(
                forge=reply.forge,
                key=one.key.hex(),
                successor=one.successor.hex(),
                since=one.since,
                signature=one.signature.hex(),
            )
            for one in reply.keys
        ]
    except ValidationError as error:
        raise NotAllowed(
            "the forge's chain of keys cannot be read; ask whoever runs the forge for a new kit"
        ) from error
    return follow(chain, reply.forge, kit.card.key)


def signing_key(reply: pb.DescribeReply, kit: Kit | None) -> bytes:
    """Return the public key (32 bytes) that a forge's word must be signed with: what follows the kit's key.

    Without a kit it is the key that the forge tells. Raises as `follow`.
    """
    if kit is None:
        return reply.key
    links = followed(reply, kit)
    return bytes.fromhex(links[-1].successor) if links else kit.forge_key
