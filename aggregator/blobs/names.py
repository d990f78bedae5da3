"""How blobs, and those who brought them, are spelled in names of files and keys."""

from __future__ import annotations

import re

from medforge.errors import InvalidInput
from medforge.files import sha256_bytes

DIGEST = re.compile(r"[0-9a-f]{64}")


def check_digest(digest: str) -> str:
    """Return the digest unchanged; raise InvalidInput unless it is 64 lower-case hex digits."""
    if not DIGEST.fullmatch(digest):
        raise InvalidInput(f"{digest[:80]!r} is not a blob digest; give the SHA-256 as 64 lower-case hex digits")
    return digest


def spelled(holder: str) -> str:
    """Return how a holder is spelled in the names of files."""
    return sha256_bytes(holder.encode())


def partial_name(digest: str, holder: str | None) -> str:
    """Return the name of the file that a holder's upload of a blob is in."""
    return check_digest(digest) if holder is None else f"{check_digest(digest)}.{spelled(holder)}"
