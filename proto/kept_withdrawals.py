"""Withdrawals that were signed with a kit, kept beside it: a forge that was set back is told of them again."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medforge.errors import CorruptFile
from medforge.files import canonical_json, open_private, read_file
from medforge.proto import forge_pb2 as pb
from medforge.proto.kit import Kit

WITHDRAWALS_FILE = "withdrawals.jsonl"


class KeptWithdrawal(BaseModel):
    """Hold a withdrawal as it was sent to a forge (a UUID); what is bytes on the wire is hex here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    forge: str
    branch: str = Field(pattern=r"^[0-9a-f]{64}$")
    erase: bool
    signature: str = Field(pattern=r"^([0-9a-f]{2})*$")
    nonce: str = Field(default="", pattern=r"^([0-9a-f]{2})*$")
    signed_at: str = ""

    def request(self) -> pb.WithdrawRequest:
        """Return the message."""
        return pb.WithdrawRequest(
            branch=self.branch,
            erase=self.erase,
            signature=bytes.fromhex(self.signature),
            nonce=bytes.fromhex(self.nonce),
            signed_at=self.signed_at,
        )


def keep_withdrawal(kit: Kit, request: pb.WithdrawRequest) -> None:
    """Append a withdrawal that a forge has taken to those of a kit; raises OSError for a kit that cannot be written."""
    kept = KeptWithdrawal(
        forge=kit.card.forge,
        branch=request.branch,
        erase=request.erase,
        signature=request.signature.hex(),
        nonce=request.nonce.hex(),
        signed_at=request.signed_at,
    )
    with open(_place(kit), "ab", opener=open_private) as file:
        file.write(canonical_json(kept.model_dump(mode="json")) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def kept_withdrawals(kit: Kit | None) -> list[KeptWithdrawal]:
    """Return the withdrawals of a kit, oldest first; none without a kit. Raises CorruptFile for what is none."""
    if kit is None or not _place(kit).exists():
        return []
    *lines, _ = read_file(_place(kit), "the withdrawals").split(b"\n")
    try:
        return [KeptWithdrawal.model_validate_json(line) for line in lines]
    except ValidationError as error:
        raise CorruptFile(f"{_place(kit)} holds what is no withdrawal; restore it from a copy of the kit") from error


def _place(kit: Kit) -> Path:
    return kit.directory / WITHDRAWALS_FILE
