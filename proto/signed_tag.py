"""A tag with its forge's signature: a name that the maintainer gave a commit, for good."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field

from medforge.proto.errors import NotAllowed
from medforge.proto.names import TAG_NAME
from medforge.proto.signing import TAG, Statement, public_bytes, sign, verify
from medforge.proto.statements import tag_statement

LONGEST_NOTES = 4000
"""Characters that may be said of a release."""


class SignedTag(BaseModel):
    """Say that a forge (a UUID) calls a commit (its digest) by a name since a time (RFC 3339), and what it says of it.

    A release is a commit that the maintainer recommends. `signature` is the forge's, by the Ed25519 key whose public
    half is `key`; both in hex.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    forge: str = Field(min_length=1)
    name: str = Field(pattern=TAG_NAME)
    commit: str = Field(pattern=r"^[0-9a-f]{64}$")
    release: bool = False
    notes: str = Field(default="", max_length=LONGEST_NOTES)
    tagged_at: str = Field(min_length=1, max_length=40)
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")

    @classmethod
    def issue(
        cls, key: Ed25519PrivateKey, forge: str, name: str, commit: str, release: bool, notes: str, tagged_at: str
    ) -> SignedTag:
        """Sign a tag with the forge's key; the same facts always give the same tag."""
        signature = sign(key, TAG, tag_statement(forge, name, commit, release, notes, tagged_at))
        return cls(
            forge=forge,
            name=name,
            commit=commit,
            release=release,
            notes=notes,
            tagged_at=tagged_at,
            key=public_bytes(key).hex(),
            signature=signature.hex(),
        )

    @property
    def statement(self) -> Statement:
        """What the forge signed."""
        return tag_statement(self.forge, self.name, self.commit, self.release, self.notes, self.tagged_at)

    def verify(self) -> None:
        """Raise NotAllowed unless the owner of `key` signed exactly this tag for this forge."""
        try:
            verify(bytes.fromhex(self.key), TAG, self.statement, bytes.fromhex(self.signature))
        except NotAllowed as error:
            raise NotAllowed(
                f"tag {self.name!r} is not signed by the forge's key {self.key[:12]}; "
                "name the commit by its digest, and ask whoever runs the forge what happened to its tags"
            ) from error
