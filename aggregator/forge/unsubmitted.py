"""How many bytes each caller has here in uploads that no branch names yet."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable

from medforge.aggregator.blobs.names import spelled
from medforge.aggregator.blobs.store import BlobStore
from medforge.proto.errors import OverLimit


class Unsubmitted:
    """Hold each caller to a share of the disk for what it has uploaded and not submitted.

    A caller is a contributor's name, or over plaintext an address. `needed` returns the digests that branches and forge
    items need; it is asked once, at the first upload, for what earlier processes received. What nameless callers
    brought to an earlier process is nobody's. Safe for any number of threads.
    """

    def __init__(self, blobs: BlobStore, most: int, needed: Callable[[], Iterable[str]]) -> None:
        self._blobs = blobs
        self._most = most
        self._needed = needed
        self._lock = threading.Lock()
        self._sizes: dict[str, dict[str, int]] = defaultdict(dict)
        self._totals: dict[str, int] = {}
        # what earlier processes received of those who have not come to this one yet, by how they are spelled
        self._left: dict[str, set[str]] | None = None

    def check(self, who: str, digest: str, size: int, holder: str | None) -> None:
        """Raise OverLimit unless a caller may have `size` bytes of a blob here beside what it has.

        `holder` is its name where it has one.
        """
        with self._lock:
            if who not in self._totals:
                self._count(who, holder)
            if self._beside(who, digest) + size > self._most:
                self._drop_what_is_gone(who, holder)
            beside = self._beside(who, digest)
        if beside + size > self._most:
            raise OverLimit(
                f"{who} would have {beside + size} bytes in uploads that no branch names where this forge keeps "
                f"{self._most}; submit the branches that they are for, or wait until the forge deletes them"
            )

    def received(self, who: str, digest: str, size: int) -> None:
        """Note how many bytes of a blob are here by a caller."""
        with self._lock:
            self._set(who, digest, size)

    def submitted(self, digests: Iterable[str]) -> None:
        """Note that a branch names these blobs."""
        with self._lock:
            for digest in digests:
                for who, sizes in self._sizes.items():
                    self._totals[who] = self._totals.get(who, 0) - sizes.pop(digest, 0)
                for left in (self._left or {}).values():
                    left.discard(digest)

    def _beside(self, who: str, digest: str) -> int:
        return self._totals.get(who, 0) - self._sizes[who].get(digest, 0)

    def _set(self, who: str, digest: str, size: int) -> None:
        self._totals[who] = self._beside(who, digest) + size
        self._sizes[who][digest] = size

    def _count(self, who: str, holder: str | None) -> None:
        self._totals[who] = 0
        if holder is None:
            return
        if self._left is None:
            needed = set(self._needed())
            brought = self._blobs.brought()
            self._left = {name: left for name, digests in brought.items() if (left := digests - needed)}
        for digest in self._left.pop(spelled(holder), ()):
            self._set(who, digest, self._blobs.partial_size(digest, holder))

    def _drop_what_is_gone(self, who: str, holder: str | None) -> None:
        for digest in list(self._sizes[who]):
            self._set(who, digest, self._blobs.partial_size(digest, holder))
            if not self._sizes[who][digest]:
                del self._sizes[who][digest]
