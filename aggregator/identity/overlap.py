"""What a forge shows callers for as long as its authority before is trusted too: a certificate by that one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from medforge.files import read_file, write_atomically
from medforge.proto.certificates import parse_certificate

KEY_FILE = "overlap.key"
CERTIFICATE_FILE = "overlap.pem"
AUTHORITY_FILE = "overlap-ca.pem"
FILES = (KEY_FILE, AUTHORITY_FILE, CERTIFICATE_FILE)


@dataclass(frozen=True)
class Overlap:
    """Hold the (key, certificate) that the authority before issued to the server, and that authority's certificate."""

    pair: tuple[bytes, bytes]
    authority: bytes

    @property
    def until(self) -> datetime:
        """When the certificate ends, and with it the overlap."""
        return parse_certificate(self.pair[1], CERTIFICATE_FILE).not_valid_after_utc


def load_overlap(keys: Path) -> Overlap | None:
    """Read it from a forge's keys; None where there never was one."""
    if not (keys / CERTIFICATE_FILE).exists():
        return None
    key, authority, certificate = (read_file(keys / name, "what the CA before issued") for name in FILES)
    return Overlap((key, certificate), authority)


def save_overlap(keys: Path, pair: tuple[bytes, bytes], authority: bytes, suffix: str) -> None:
    """Write it among a forge's keys, under names that end in a suffix."""
    for name, data in zip(FILES, (pair[0], authority, pair[1]), strict=True):
        write_atomically(keys / f"{name}{suffix}", data)
