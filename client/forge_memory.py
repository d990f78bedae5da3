"""How a centre last saw its forge, by which it notices that the forge was set back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from medforge.files import canonical_json, write_atomically
from medforge.proto import forge_pb2 as pb
from medforge.proto.certificates import now, spell_time
from medforge.proto.epoch import Epoch


class ForgeMemory(BaseModel):
    """Hold what a forge (a UUID) said at a time (RFC 3339): epoch ("" for the first), head, commits and arrivals."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    forge: str
    epoch: str
    head: str
    commits: int
    arrivals: int
    at: str

    @classmethod
    def of(cls, reply: pb.DescribeReply, epochs: Sequence[Epoch]) -> ForgeMemory:
        """Remember what a forge says now."""
        return cls(
            forge=reply.forge,
            epoch=epochs[-1].digest if epochs else "",
            head=reply.head,
            commits=reply.commits,
            arrivals=reply.arrivals,
            at=spell_time(now()),
        )

    @classmethod
    def load(cls, path: Path) -> ForgeMemory | None:
        """Read what is remembered; None where nothing is, or nothing that can be read."""
        with suppress(OSError, ValidationError):
            return cls.model_validate_json(path.read_bytes())
        return None

    def save(self, path: Path) -> None:
        """Remember it in place of what was; a workspace that cannot be written stays as it is."""
        with suppress(OSError):
            write_atomically(path, canonical_json(self.model_dump(mode="json")))

    def set_back(self, reply: pb.DescribeReply, epochs: Sequence[Epoch]) -> str | None:
        """Return a sentence where a forge has gone back since it was seen like this, None where it has not."""
        if reply.forge != self.forge:
            return None
        seen = f"it had {self.arrivals} arrivals and {self.commits} commits when it was last seen from here ({self.at})"
        newest = epochs[-1] if epochs else None
        if newest is not None and newest.digest != self.epoch:
            facts = newest.facts
            return (
                f"the forge was restored on {facts.since[:10]} from a backup of {facts.made_at}, with {facts.arrivals} "
                f"arrivals and {facts.commits} commits; {seen}"
            )
        if (newest is None and self.epoch) or reply.arrivals < self.arrivals or reply.commits < self.commits:
            return (
                f"the forge has {reply.arrivals} arrivals and {reply.commits} commits and says nothing of a restore, "
                f"and {seen}; tell whoever runs it"
            )
        return None
