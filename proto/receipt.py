"""The receipt: what a centre holds once the forge can no longer lose its branch."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ConfigDict, Field, ValidationError

from medforge.digested import DigestedModel
from medforge.errors import CorruptFile
from medforge.files import canonical_json, read_file, write_atomically
from medforge.proto.errors import NotAllowed
from medforge.proto.signing import RECEIPT, public_bytes, sign, verify
from medforge.proto.statements import receipt_statement
from medforge.proto.succession import LONGEST_CHAIN, KeySuccession, follow


class Receipt(DigestedModel):
    """Say that a forge (a UUID) keeps a branch (its digest) as its `arrival`-th; `accepted_at` is RFC 3339 in UTC.

    `signature` is the forge's, by the Ed25519 key whose public half is `key`; both in hex. `succession` leads from the
    key that the contributor's kit names to that one, where they differ. `epoch` is the digest of the epoch in which it
    arrived, signed beside the rest by `epoch_signature` (both "" in the first): a restored forge gives numbers again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger = frozenset({"succession", "epoch", "epoch_signature"})

    forge: str = Field(min_length=1)
    arrival: int = Field(ge=1)
    branch: str = Field(pattern=r"^[0-9a-f]{64}$")
    accepted_at: str = Field(min_length=1)
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")
    succession: tuple[KeySuccession, ...] = Field(default=(), max_length=LONGEST_CHAIN)
    epoch: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    epoch_signature: str = Field(default="", pattern=r"^([0-9a-f]{128})?$")

    @classmethod
    def issue(
        cls, key: Ed25519PrivateKey, forge: str, arrival: int, branch: str, accepted_at: str, epoch: str = ""
    ) -> Receipt:
        """Sign a receipt with the forge's key; the same facts always give the same receipt."""
        # apart from the other signature, which clients of an earlier version go on verifying
        signed = sign(key, RECEIPT, receipt_statement(forge, arrival, branch, accepted_at, epoch)).hex()
        return cls(
            forge=forge,
            arrival=arrival,
            branch=branch,
            accepted_at=accepted_at,
            key=public_bytes(key).hex(),
            signature=sign(key, RECEIPT, receipt_statement(forge, arrival, branch, accepted_at)).hex(),
            epoch=epoch,
            epoch_signature=signed if epoch else "",
        )

    def verify(self) -> None:
        """Raise NotAllowed unless the owner of `key` signed exactly this receipt, and its succession leads there."""
        if self.succession and follow(self.succession, self.forge, self.succession[0].key)[-1].successor != self.key:
            raise NotAllowed(
                f"the keys named in the receipt for arrival {self.arrival} do not lead to the one that signed it; keep "
                "the branch, and push it again"
            )
        facts = (self.forge, self.arrival, self.branch, self.accepted_at)
        key = bytes.fromhex(self.key)
        try:
            verify(key, RECEIPT, receipt_statement(*facts), bytes.fromhex(self.signature))
            if self.epoch or self.epoch_signature:
                verify(key, RECEIPT, receipt_statement(*facts, self.epoch), bytes.fromhex(self.epoch_signature))
        except NotAllowed as error:
            raise NotAllowed(
                f"the receipt for arrival {self.arrival} is not signed by the forge's key {self.key[:12]}; "
                f"keep the branch, and ask whoever runs the forge what answers at its address"
            ) from error

    def vouched_for_by(self, key: str) -> bool:
        """Say whether a key (hex) signed a verified receipt, or a key that signed another, and so on to the one."""
        return key == self.key or key in {link.key for link in self.succession}

    def to_bytes(self) -> bytes:
        """Serialise canonically."""
        return canonical_json(self.model_dump(mode="json"))

    def save(self, path: Path) -> None:
        """Write the receipt so that a crash leaves either the old file or this one."""
        write_atomically(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> Receipt:
        """Read a receipt; raise InvalidInput for a missing file and CorruptFile for one that is no receipt."""
        try:
            return cls.model_validate_json(read_file(path, "the receipt"))
        except ValidationError as error:
            raise CorruptFile(f"{path} is not a receipt; remove it and push again to get the same receipt") from error
