"""An epoch of a forge: what it says, signed, each time it is restored from a backup."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field

from medforge.errors import CorruptFile
from medforge.files import canonical_json, parse_json, sha256_bytes
from medforge.proto import forge_pb2 as pb
from medforge.proto.errors import NotAllowed
from medforge.proto.signing import EPOCH, public_bytes, sign, verify
from medforge.proto.statements import epoch_statement


class EpochFacts(BaseModel):
    """Say when a forge (a UUID) was restored, from what, and what it had then; the first epoch has no such facts.

    `since` and `made_at` (when the backup was) are RFC 3339 in UTC. Of `arrivals` and `commits` it had as many, `head`
    was the newest commit ("" before the first). What came since is of this epoch, up to the next. `before` is the
    digest of the epoch before ("" for the first), `nonce` (hex) tells two restores of one backup apart.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    forge: str = Field(min_length=1)
    number: int = Field(ge=2)
    since: str = Field(min_length=1, max_length=40)
    made_at: str = Field(min_length=1, max_length=40)
    arrivals: int = Field(ge=0)
    commits: int = Field(ge=0)
    head: str = Field(pattern=r"^([0-9a-f]{64})?$")
    before: str = Field(pattern=r"^([0-9a-f]{64})?$")
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")

    def to_bytes(self) -> bytes:
        """Serialise canonically."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """The digest that names the epoch."""
        return sha256_bytes(self.to_bytes())


class Epoch(BaseModel):
    """Hold an epoch's facts with the forge's signature, by the Ed25519 key whose public half is `key`; both in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    facts: EpochFacts
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")

    @classmethod
    def issue(cls, key: Ed25519PrivateKey, facts: EpochFacts) -> Epoch:
        """Sign with the forge's key that an epoch begins."""
        signature = sign(key, EPOCH, epoch_statement(facts.forge, facts.digest))
        return cls(facts=facts, key=public_bytes(key).hex(), signature=signature.hex())

    @property
    def digest(self) -> str:
        """The digest that names the epoch."""
        return self.facts.digest

    def verify(self) -> None:
        """Raise NotAllowed unless the owner of `key` signed exactly this."""
        statement = epoch_statement(self.facts.forge, self.digest)
        verify(bytes.fromhex(self.key), EPOCH, statement, bytes.fromhex(self.signature))


def epoch_of(epochs: Sequence[Epoch], arrival: int) -> str:
    """Return the digest of the epoch in which an arrival of a forge came, "" for the first.

    It is the last of those that began before it: each names how many arrivals there were.
    """
    return next((one.digest for one in reversed(epochs) if arrival > one.facts.arrivals), "")


def epoch_of_commit(epochs: Sequence[Epoch], number: int) -> str:
    """Return the digest of the epoch in which a forge's commit of a number was made, "" for the first."""
    return next((one.digest for one in reversed(epochs) if number > one.facts.commits), "")


def epoch_to_message(epoch: Epoch) -> pb.Epoch:
    """Put an epoch into its message."""
    return pb.Epoch(
        content=epoch.facts.to_bytes(), key=bytes.fromhex(epoch.key), signature=bytes.fromhex(epoch.signature)
    )


def epochs_from_messages(messages: Sequence[pb.Epoch], forge: str, keys: Collection[str]) -> tuple[Epoch, ...]:
    """Read a forge's epochs, each verified: by one of its keys (hex), and following the one before.

    Raises CorruptFile for what is no epoch, NotAllowed for what no key of the forge signed, or does not follow.
    """
    try:
        facts = [EpochFacts.model_validate(parse_json(one.content)) for one in messages]
        epochs = [
            Epoch(facts=said, key=one.key.hex(), signature=one.signature.hex())
            for said, one in zip(facts, messages, strict=True)
        ]
    except ValueError as error:
        raise CorruptFile("the forge's epochs cannot be read; tell whoever runs the forge") from error
    before = ""
    for epoch in epochs:
        epoch.verify()
        if epoch.key not in keys or epoch.facts.forge != forge or epoch.facts.before != before:
            raise NotAllowed(
                f"the forge's epoch {epoch.digest[:12]} is not signed by a key of its, or follows none that it names; "
                f"ask whoever runs the forge what answers at its address"
            )
        before = epoch.digest
    return tuple(epochs)
