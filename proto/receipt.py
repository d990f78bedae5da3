"""The receipt: what a centre holds once the forge can no longer lose its branch."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medforge.errors import CorruptFile
from medforge.files import canonical_json, read_file, write_atomically


class Receipt(BaseModel):
    """Say that a forge (a UUID) keeps a branch (its digest) as its `arrival`-th; `accepted_at` is RFC 3339 in UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    forge: str = Field(min_length=1)
    arrival: int = Field(ge=1)
    branch: str = Field(pattern=r"^[0-9a-f]{64}$")
    accepted_at: str = Field(min_length=1)

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
