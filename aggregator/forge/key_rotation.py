"""A new key for a forge's receipts, tasks and tags, which the old one signs."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from medforge.aggregator.ledger.journal import now
from medforge.aggregator.ledger.key_table import add_succession, first_key, successions
from medforge.aggregator.ledger.ledger import Ledger
from medforge.errors import CorruptFile
from medforge.faults import reached
from medforge.files import sync_directory
from medforge.proto.passphrase import given
from medforge.proto.signing import load_key, new_key, public_bytes, save_key
from medforge.proto.succession import KeySuccession

KEY_FILE = "keys/forge.key"
_NEXT_FILE = "keys/forge.key.next"


def current_key(directory: Path, ledger: Ledger) -> Ed25519PrivateKey:
    """Load the key that a forge signs with: the newest that the journal names, also if a rotation was interrupted.

    Raises CorruptFile where that one is not there.
    """
    place, links = directory / KEY_FILE, successions(ledger)
    if not place.exists():
        raise CorruptFile(f"{place} is missing, and a forge's key is made once; restore it from a backup")
    key, due = load_key(place), links[-1].successor if links else first_key(ledger)
    if due in (None, public_bytes(key).hex()):
        return key
    if links and (directory / _NEXT_FILE).exists():
        key = load_key(directory / _NEXT_FILE)
    if due != public_bytes(key).hex():
        since = f" since {links[-1].since[:10]}" if links else ""
        raise CorruptFile(
            f"{place} is not the key {str(due)[:12]} that this forge signs with{since}; restore it from a backup"
        )
    return key


def rotate_key(directory: Path, forge: str, ledger: Ledger) -> KeySuccession:
    """Give a forge (a UUID) that nobody serves another key, durably; the old one is deleted.

    A crash leaves it with the old key, or with the new one in its place or beside it (see `current_key`).
    """
    old, new = current_key(directory, ledger), new_key()
    finish_rotation(directory, ledger)
    save_key(directory / _NEXT_FILE, new, given())
    reached("before succession")
    link = KeySuccession.issue(old, forge, public_bytes(new).hex(), now())
    add_succession(ledger, link)
    reached("after succession")
    finish_rotation(directory, ledger)
    return link


def finish_rotation(directory: Path, ledger: Ledger) -> None:
    """Put a key that the journal names into its place, where a rotation was interrupted just before that."""
    place, aside, links = directory / KEY_FILE, directory / _NEXT_FILE, successions(ledger)
    if links and aside.exists() and public_bytes(load_key(aside)).hex() == links[-1].successor:
        aside.replace(place)
        sync_directory(place.parent)
