"""A declared task with its forge's signature: what a centre is told, or given as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medforge.declared_task import DeclaredTask
from medforge.errors import CorruptFile, printable
from medforge.files import parse_json, read_file
from medforge.overrides import first_fault
from medforge.proto.errors import NotAllowed
from medforge.proto.signing import TASK, public_bytes, sign, verify
from medforge.proto.statements import task_statement


class _Signature(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    forge: str = Field(min_length=1)
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")


class SignedTask(_Signature):
    """Say that a forge (a UUID) declares a task.

    `signature` is the forge's over its id and the declaration's digest, by the Ed25519 key whose public half is `key`;
    both in hex.
    """

    task: DeclaredTask

    @classmethod
    def issue(cls, key: Ed25519PrivateKey, forge: str, task: DeclaredTask) -> SignedTask:
        """Sign a declaration with the forge's key; the same declaration always gets the same signature."""
        signature = sign(key, TASK, task_statement(forge, task.digest))
        return cls(forge=forge, task=task, key=public_bytes(key).hex(), signature=signature.hex())

    def verify(self) -> None:
        """Raise NotAllowed unless the owner of `key` signed exactly this declaration for this forge."""
        statement = task_statement(self.forge, self.task.digest)
        try:
            verify(bytes.fromhex(self.key), TASK, statement, bytes.fromhex(self.signature))
        except NotAllowed as error:
            raise NotAllowed(
                f"task {self.task.name!r} is not signed by the forge's key {self.key[:12]}; "
                f"ask whoever runs the forge what answers at its address, or for the task's file again"
            ) from error

    def document(self) -> dict[str, Any]:
        """Return the declaration's fields, and beside them who signed it: what a centre is given as a file."""
        return self.task.model_dump(mode="json") | self.model_dump(mode="json", exclude={"task"})

    @classmethod
    def parse(cls, data: bytes, what: str) -> SignedTask:
        """Read such a document, and verify that the key it names signed it; ``what`` names it in a sentence.

        Whose key that is must be known from elsewhere. Raises CorruptFile or NotAllowed.
        """
        try:
            values = parse_json(data)
            if not isinstance(values, dict):
                raise ValueError("it is no object")
            about = {name: values.pop(name) for name in _Signature.model_fields if name in values}
            signed = cls.model_validate({**about, "task": values})
        except ValueError as error:
            fault = first_fault(error) if isinstance(error, ValidationError) else str(error)
            raise CorruptFile(
                f"{what} is not a signed task ({printable(fault)}); write it again with `medforge task show --json`"
            ) from error
        signed.verify()
        return signed

    @classmethod
    def load(cls, path: Path) -> SignedTask:
        """Read what `medforge task show --json` wrote; raises as `parse`, InvalidInput where no file is."""
        return cls.parse(read_file(path, "the task"), str(path))
