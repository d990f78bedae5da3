"""What a forge shows callers for as long as its authority before is trusted too: a certificate by that one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from medforge.files import read_file, write_atomically
from medforge.proto.certificates import parse_certificate
from medforge.proto.key_files import load_private_key, parse_private_key, pem_of, save_private_key
from medforge.proto.passphrase import given

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


def overlap_until(keys: Path) -> datetime | None:
    """Return when the overlap ends, or ended, without its key; None where there never was one."""
    path = keys / CERTIFICATE_FILE
    if not path.exists():
        return None
    return parse_certificate(read_file(path, "the certificate by the CA before"), str(path)).not_valid_after_utc


def load_overlap(keys: Path) -> Overlap | None:
    """Read it from a forge's keys; None where there never was one."""
    if not (keys / CERTIFICATE_FILE).exists():
        return None
    key = pem_of(load_private_key(keys / KEY_FILE, "the key by the CA before"))
    authority, certificate = (read_file(keys / name, "what the CA before issued") for name in FILES[1:])
    return Overlap((key, certificate), authority)


def save_overlap(keys: Path, pair: tuple[bytes, bytes], authority: bytes, suffix: str) -> None:
    """Write it among a forge's keys, under names that end in a suffix."""
    save_private_key(keys / f"{KEY_FILE}{suffix}", parse_private_key(pair[0]), given())
    write_atomically(keys / f"{AUTHORITY_FILE}{suffix}", authority)
    write_atomically(keys / f"{CERTIFICATE_FILE}{suffix}", pair[1])
