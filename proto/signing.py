"""Ed25519 signatures over statements: what was said, for what purpose, and by whom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from medforge.errors import CorruptFile
from medforge.files import canonical_json
from medforge.proto.errors import NotAllowed
from medforge.proto.key_files import load_private_key, save_private_key

SUBMIT = "submit"
WITHDRAW = "withdraw"
RECEIPT = "receipt"
TASK = "task"
TAG = "tag"
SUCCESSION = "key succession"
REVIEW = "review"
KIT_REQUEST = "kit request"
EPOCH = "epoch"
TOMBSTONE = "tombstone"

Statement = Mapping[str, str | int | bool]


def new_key() -> Ed25519PrivateKey:
    """Make a signing key from the system's randomness."""
    return Ed25519PrivateKey.generate()


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """Return the 32 bytes of the public key."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(key: Ed25519PrivateKey, purpose: str, statement: Statement) -> bytes:
    """Sign a statement for one purpose; 64 bytes (RFC 8032). It proves nothing for another purpose or statement."""
    return key.sign(_spelled(purpose, statement))


def verify(public: bytes, purpose: str, statement: Statement, signature: bytes) -> None:
    """Check a signature; raises NotAllowed unless the owner of the public key signed exactly this statement."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _spelled(purpose, statement))
    except (InvalidSignature, ValueError, UnsupportedAlgorithm) as error:
        raise NotAllowed(
            f"the signature of this {purpose} is not by the key it should be; use the kit that belongs to this name "
            f"and this forge"
        ) from error


def save_key(path: Path, key: Ed25519PrivateKey, passphrase: bytes | None = None) -> None:
    """Write a private key as PEM, readable by its owner alone, and encrypted where a passphrase is given."""
    save_private_key(path, key, passphrase)


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key; raises InvalidInput for a missing file or passphrase, CorruptFile for what is no such key."""
    key = load_private_key(path, "the signing key")
    if not isinstance(key, Ed25519PrivateKey):
        raise CorruptFile(f"{path} is not an Ed25519 key; restore it from a backup")
    return key


def _spelled(purpose: str, statement: Statement) -> bytes:
    return canonical_json({"medforge": purpose, **statement})
