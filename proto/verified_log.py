"""The log of a forge that is served somewhere: what was verified here before is kept, and only the rest fetched."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from medforge.proto import forge_pb2 as pb
from medforge.proto.epoch import Epoch
from medforge.proto.errors import HistoryRewritten
from medforge.proto.kept_log import DamagedLog, KeptLog, Link
from medforge.proto.log_fetch import fetch_after, said_in
from medforge.proto.remote import RemoteForge
from medforge.user_cache import cache_folder


class VerifiedLog:
    """Hold the commits of a forge, each verified to have its digest and to follow the one before, and what is outside.

    Over TLS, which proves whose log it is, what is verified is kept in the user's cache folder, and only what is not
    there is fetched; so a forge that changes what it told before is noticed. `outside` are the arrivals that are not in
    the main branch, and `said` is what a user is to be told: that the forge was restored from a backup, and lacks
    commits that were seen.

    Raises HistoryRewritten for other commits than were kept, CorruptFile for one that does not follow, and what
    `RemoteForge` raises.
    """

    def __init__(self, forge: RemoteForge) -> None:
        self.path = _place(forge)
        self.outside: list[pb.Arrival] = []
        self.said: list[str] = []
        self._names: dict[str, str] | None = None
        self._kept = self._opened()
        try:
            self._follow(forge)
        except (DamagedLog, sqlite3.Error):
            # another process keeps another history, or the disk is full
            self._kept.close()
            self._kept = KeptLog()
            self._follow(forge)
        except BaseException:
            self._kept.close()
            raise

    def close(self) -> None:
        """Close what it is kept in."""
        self._kept.close()

    def __len__(self) -> int:
        return len(self._kept)

    def records(self, first: int = 1, last: int | None = None) -> Iterator[pb.CommitRecord]:
        """Yield the commits of these numbers (None: to the newest), oldest first; how they stand is not said."""
        return self._kept.records(first, len(self) if last is None else last)

    def display_names(self) -> dict[str, str]:
        """Return how contributors are written for people, by identifier, where that is not the identifier."""
        if self._names is not None:
            return self._names
        # a forge of an earlier version says it only beside what they sent
        told = [(said_in(one.content, "the forge")["contributor"], one.display_name) for one in self.records()]
        told += [(one.contributor, one.display_name) for one in self.outside]
        return {contributor: name for contributor, name in told if name}

    def number_of(self, digest: str) -> int | None:
        """Return the number of a commit, None for none of these."""
        return self._kept.number_of(digest)

    def called(self, name: str) -> Iterator[pb.CommitRecord]:
        """Yield the commits, oldest first, that a name may mean.

        It is the number or the task of their arrival, or the beginning of their digest or of their branch's.
        """
        return self._kept.called(name)

    def numbers_about(self, arrivals: Collection[int]) -> dict[int, list[int]]:
        """Return the numbers of the commits that are about arrivals, by arrival, ascending."""
        found: dict[int, list[int]] = {}
        for number, arrival in sorted(self._kept.numbers_about(arrivals)):
            found.setdefault(arrival, []).append(number)
        return found

    def newest_arrival(self, before: int) -> int:
        """Return the greatest number of an arrival that a commit with a number below `before` is about; 0 for none."""
        return self._kept.newest_arrival(before)

    def _opened(self) -> KeptLog:
        """Open what is kept; what is damaged is begun anew, and what cannot be kept is held in memory."""
        with suppress(OSError, sqlite3.Error, DamagedLog):
            try:
                return KeptLog(self.path)
            except sqlite3.OperationalError:
                # locked, or on a disk that is full or can only be read
                raise
            except (DamagedLog, sqlite3.DatabaseError):
                if self.path is not None:
                    self.path.unlink(missing_ok=True)
                return KeptLog(self.path)
        return KeptLog()

    def _follow(self, forge: RemoteForge) -> None:
        """Fetch what is not kept; where a restore explains that the forge lacks what is, forget that first."""
        newest = self._kept.newest()
        differs = self._fetch(forge, newest)
        if newest is None or not differs:
            return
        epochs = forge.epochs()
        last = _last_in_common(epochs, newest)
        if last is None:
            raise self._rewritten(forge.at, newest, differs)
        self._kept.cut(last)
        restored = epochs[-1].facts
        self.said.append(
            f"the forge was restored on {restored.since[:10]} from a backup of {restored.made_at}, and "
            f"{newest.number - last} commits that were seen here are not in it any more"
        )
        newest = self._kept.newest()
        differs = self._fetch(forge, newest)
        if newest is not None and differs:
            raise self._rewritten(forge.at, newest, differs)

    def _fetch(self, forge: RemoteForge, newest: Link | None) -> str | None:
        told = fetch_after(forge, newest, self._kept.add)
        self.outside, self._names = told.outside, told.names
        return told.differs

    def _rewritten(self, at: str, known: Link, now: str) -> HistoryRewritten:
        return HistoryRewritten(
            f"the forge at {at} has told that its commit {known.number} is {known.digest[:12]}, and now it {now}, and "
            f"says nothing of a restore; ask whoever runs it, and once that is explained delete {self.path}"
        )


def _last_in_common(epochs: tuple[Epoch, ...], newest: Link) -> int | None:
    """Return how many commits backups had from which a forge was restored since the newest was made, at the least.

    None where no restore explains that it lacks that one.
    """
    own = pb.CommitRecord.FromString(newest.record).epoch
    digests = [epoch.digest for epoch in epochs]
    if own and own not in digests:
        return None
    since = epochs[digests.index(own) + 1 if own else 0 :]
    last = min((epoch.facts.commits for epoch in since), default=newest.number)
    return last if last < newest.number else None


def _place(forge: RemoteForge) -> Path | None:
    """Return where a forge's log is kept: by the forge and who proves that it is that one; None where nothing does."""
    kit = forge.proven_by
    if kit is None:
        return None
    proof = sha256(kit.ca).hexdigest()[:16]
    return cache_folder() / "logs" / f"{kit.card.forge}-{proof}.sqlite"
