"""A forge's chain of certificate authorities as it travels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import ValidationError

from medforge.proto import forge_pb2 as pb
from medforge.proto.authority_succession import AuthoritySuccession
from medforge.proto.certificates import spell_time
from medforge.proto.errors import NotAllowed


def authorities_to_message(links: Sequence[AuthoritySuccession]) -> list[pb.AuthoritySuccession]:
    """Put a chain into its messages, without the forge."""
    return [
        pb.AuthoritySuccession(
            authority=link.authority,
            successor=link.successor,
            since=spell_time(link.since),
            until=spell_time(link.until),
            signature=bytes.fromhex(link.signature),
        )
        for link in links
    ]


def authorities_from_message(reply: pb.DescribeReply) -> list[AuthoritySuccession]:
    """Read the chain that a forge tells, not yet verified; raises NotAllowed for one that cannot be read."""
    try:
        return [
            AuthoritySuccession(
                forge=reply.forge,
                authority=one.authority,
                successor=one.successor,
                since=datetime.fromisoformat(one.since),
                until=datetime.fromisoformat(one.until),
                signature=one.signature.hex(),
            )
            for one in reply.authorities
        ]
    except (ValidationError, ValueError) as error:
        raise NotAllowed("the forge's chain of CAs cannot be read; ask whoever runs the forge for a new kit") from error
