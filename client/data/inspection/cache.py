"""A file in the user's cache folder that remembers what images are like, so that a second look is quick."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

from medforge.client.data.inspection.sketch import VERSION
from medforge.user_cache import cache_folder

_LARGEST = 4 << 30
"""Bytes beyond which the file is begun anew."""

_AT_ONCE = 500
_SUM = 8
"""Bytes of a value's checksum."""

_PATIENCE = 10.0


def cache_file() -> Path:
    """Return where the cache is."""
    return cache_folder() / "images.sqlite"


class Cache:
    """Keep values under keys, each with a checksum.

    Several processes may use one file at once. What cannot be read, because the file is damaged, locked or in a place
    where nothing can be written, counts as not there: a cache never stops any work. Keys are digested, so that no path
    of an image is in the file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_file()

    def get(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return the values that are there, by their keys."""
        found: dict[str, bytes] = {}
        wanted = {_digest(key): key for key in keys}
        digests = list(wanted)

        def read(database: sqlite3.Connection) -> None:
            for start in range(0, len(digests), _AT_ONCE):
                part = digests[start : start + _AT_ONCE]
                marks = ",".join("?" * len(part))
                for digest, value in database.execute(f"SELECT key, value FROM kept WHERE key IN ({marks})", part):
                    if value[:_SUM] == _checksum(digest, value[_SUM:]):
                        found[wanted[digest]] = value[_SUM:]

        self._use(read)
        return found

    def put(self, values: Mapping[str, bytes]) -> None:
        """Keep values under their keys."""
        self._use(lambda database: database.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", _rows(values)))

    def _use(self, use: Callable[[sqlite3.Connection], object]) -> None:
        """Do something with the database; what fails ends that and nothing else."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and self.path.stat().st_size > _LARGEST:
                self.path.unlink(missing_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE)) as database, database:
                database.execute("CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
                use(database)
        except (OSError, sqlite3.OperationalError):
            pass
        except (sqlite3.DatabaseError, ValueError, TypeError):
            # damaged beyond use: the next one begins a new file
            with suppress(OSError):
                self.path.unlink(missing_ok=True)


def _digest(key: str) -> bytes:
    return hashlib.blake2b(f"{VERSION} {key}".encode("utf-8", "surrogatepass"), digest_size=20).digest()


def _checksum(digest: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(digest + value, digest_size=_SUM).digest()


def _rows(values: Mapping[str, bytes]) -> Iterator[tuple[bytes, bytes]]:
    for key, value in values.items():
        digest = _digest(key)
        yield digest, _checksum(digest, value) + value
