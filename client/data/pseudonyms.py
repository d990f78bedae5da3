"""Names that stand for patients, studies and files: salted digests, from which nobody reads the names back."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

LENGTH = 16
"""Hexadecimal digits of a pseudonym: 64 bits, so that two of a million names agree with probability 3e-8."""


class Pseudonyms:
    """Give every name of a data set a pseudonym: HMAC-SHA256 under a salt that only who has the data can compute.

    The salt is the digest of `secrets`, whatever their order: identifiers of all images, or digests of their bytes. So
    the same data give the same pseudonyms everywhere, and splits depend on data and seed alone; and without the data
    nobody can try out which patient number a pseudonym stands for.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        salt = hashlib.sha256()
        for secret in sorted(set(secrets)):
            salt.update(hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest())
        self._salt = salt.digest()

    def of(self, kind: str, name: str) -> str:
        """Return the pseudonym of a name; the same name of another kind has another one."""
        message = f"{kind}\0{name}".encode("utf-8", "surrogateescape")
        return hmac.new(self._salt, message, hashlib.sha256).hexdigest()[:LENGTH]
