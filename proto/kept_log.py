"""Commits of a forge that were verified here before, in a file, so that nobody fetches them again."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from medforge.errors import ForgeUnavailable
from medforge.files import canonical_json, make_private, open_private
from medforge.proto import forge_pb2 as pb
from medforge.proto.names import arrival_number

_SUM = 16
_PATIENCE = 10.0
_AT_ONCE = 500
_TABLE = """
CREATE TABLE IF NOT EXISTS commits (
    number INTEGER PRIMARY KEY, digest TEXT UNIQUE, parent TEXT, arrival INTEGER, record BLOB, sum BLOB
);
CREATE INDEX IF NOT EXISTS by_arrival ON commits (arrival);
"""


class DamagedLog(Exception):
    """Report a file that does not hold what was kept in it."""


class Link(NamedTuple):
    """Hold a commit that is verified to follow the one before (its parent's digest, "" for the first)."""

    number: int
    digest: str
    parent: str
    arrival: int
    record: bytes

    @property
    def sum(self) -> bytes:
        """The checksum of all of it."""
        about = f"{self.number} {self.digest} {self.parent} {self.arrival} ".encode()
        return blake2b(about + self.record, digest_size=_SUM).digest()


class KeptLog:
    """Keep commits that follow one another from the first on, in a file, or in memory where none is given.

    Several processes may use one file at once. Opening one checks all of it, so that what is read is what was kept.
    Raises DamagedLog or sqlite3.DatabaseError for a file that holds something else, sqlite3.OperationalError or OSError
    for one that cannot be used.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is not None:
            make_private(path.parent)
            os.close(open_private(path, os.O_CREAT | os.O_RDWR))
        self._database = sqlite3.connect(
            path or ":memory:", timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            self._database.executescript(_TABLE)
            self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM commits").fetchone()[0])

    def newest(self) -> Link | None:
        """Return the newest commit."""
        return self._one("SELECT number, digest, parent, arrival, record FROM commits ORDER BY number DESC LIMIT 1")

    def number_of(self, digest: str) -> int | None:
        """Return the number of a commit, None for one that is not kept."""
        found = self._database.execute("SELECT number FROM commits WHERE digest = ?", (digest,)).fetchone()
        return None if found is None else int(found[0])

    def records(self, first: int, last: int) -> Iterator[pb.CommitRecord]:
        """Yield the commits of these numbers, as the forge told them; ForgeUnavailable where another process cut them.

        What no digest covers is as it was when they were fetched.
        """
        query = "SELECT record FROM commits WHERE number BETWEEN ? AND ? ORDER BY number"
        for start in range(first, last + 1, _AT_ONCE):
            end = min(last, start + _AT_ONCE - 1)
            rows = self._database.execute(query, (start, end)).fetchall()
            if len(rows) != end - start + 1:
                raise ForgeUnavailable(
                    "another process keeps the forge's log anew just now; run the same command again"
                )
            for (record,) in rows:
                yield pb.CommitRecord.FromString(record)

    def called(self, name: str) -> Iterator[pb.CommitRecord]:
        """Yield the commits, oldest first, that a name may mean, as `VerifiedLog.called` has it."""
        query = (
            "SELECT record FROM commits WHERE arrival = ?1 OR substr(digest, 1, length(?2)) = ?2 "
            "OR instr(record, ?3) OR instr(record, ?4) ORDER BY number"
        )
        # as canonical JSON says them
        said = (b'"task":' + canonical_json(name), b'"branch":' + canonical_json(name.lower())[:-1])
        for (record,) in self._database.execute(query, (arrival_number(name), name.lower(), *said)):
            yield pb.CommitRecord.FromString(record)

    def numbers_about(self, arrivals: Collection[int]) -> Iterator[tuple[int, int]]:
        """Yield for some arrivals (number of a commit, arrival that it is about)."""
        wanted = sorted(set(arrivals))
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            yield from self._database.execute(f"SELECT number, arrival FROM commits WHERE arrival IN ({marks})", part)

    def newest_arrival(self, before: int) -> int:
        """Return the greatest number of an arrival that a commit with a number below `before` is about; 0 for none."""
        found = self._database.execute("SELECT max(arrival) FROM commits WHERE number < ?", (before,)).fetchone()
        return found[0] or 0

    def add(self, links: Sequence[Link]) -> None:
        """Keep commits that follow the newest; those that another process kept meanwhile change nothing.

        Raises DamagedLog where that was another history.
        """
        with self._transaction():
            rows = [(*link, link.sum) for link in links]
            self._database.executemany("INSERT OR IGNORE INTO commits VALUES (?, ?, ?, ?, ?, ?)", rows)
            before = self._digest_of(links[0].number - 1)
            if before != (links[0].parent or None) or self._digest_of(links[-1].number) != links[-1].digest:
                raise DamagedLog

    def cut(self, last: int) -> None:
        """Forget the commits after a number."""
        with self._transaction():
            self._database.execute("DELETE FROM commits WHERE number > ?", (last,))

    def _transaction(self) -> sqlite3.Connection:
        self._database.execute("BEGIN IMMEDIATE")
        return self._database

    def _digest_of(self, number: int) -> str | None:
        found = self._database.execute("SELECT digest FROM commits WHERE number = ?", (number,)).fetchone()
        return None if found is None else str(found[0])

    def _one(self, query: str) -> Link | None:
        found = self._database.execute(query).fetchone()
        return None if found is None else Link(*found)

    def _check(self) -> None:
        number, digest = 0, ""
        query = "SELECT number, digest, parent, arrival, record, sum FROM commits ORDER BY number"
        for *values, kept in self._database.execute(query):
            link = Link(*values)
            sound = link.number == number + 1 and link.parent == digest and isinstance(link.record, bytes)
            if not sound or link.sum != kept:
                raise DamagedLog
            number, digest = link.number, link.digest
