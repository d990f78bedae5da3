"""Encrypt the private keys that lie in a kit or a forge, or lay them open again."""

from __future__ import annotations

from pathlib import Path

from medforge.errors import InvalidInput
from medforge.proto.key_files import load_private_key, save_private_key
from medforge.proto.kit import SECRET_FILES

_KEYS_OF_A_FORGE = "keys"


def key_files(directory: Path) -> list[Path]:
    """List the private keys of a kit or a forge; raises InvalidInput for a directory that is neither."""
    of_kit = [directory / name for name in SECRET_FILES]
    if all(path.is_file() for path in of_kit):
        return of_kit
    keys = directory / _KEYS_OF_A_FORGE
    of_forge = sorted(path for pattern in ("*.key", "*.key.next") for path in keys.glob(pattern))
    if not of_forge:
        raise InvalidInput(f"{directory} is no kit and no forge with keys; give the directory of one")
    return of_forge


def change_encryption(directory: Path, passphrase: bytes | None) -> list[Path]:
    """Write the keys of a kit or a forge anew, encrypted with a passphrase or with None open; return which they are.

    All are read before the first is written. Raises what `load_private_key` raises.
    """
    found = [(path, load_private_key(path, "the key")) for path in key_files(directory)]
    for path, key in found:
        save_private_key(path, key, passphrase)
    return [path for path, _ in found]
