"""Deleting what nobody needs, and nobody has touched for long."""

from __future__ import annotations

from collections.abc import Callable, Set
from contextlib import AbstractContextManager, nullcontext

from medforge.aggregator.blobs.store import BlobStore


def sweep_blobs(
    store: BlobStore,
    before: float,
    needed: Set[str],
    alone: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> int:
    """Delete unfinished uploads and present blobs last touched before a time (epoch s), except those needed.

    Around each deletion `alone` is entered, which may add to what is needed; what was touched by then stays. Returns of
    how many blobs something was deleted.
    """
    store.kept.tidy(before)
    swept: set[str] = set()
    for digest in sorted(store.kept.untouched(before) - needed):
        with alone():
            if digest not in needed and store.remove_untouched(digest, before):
                swept.add(digest)
    for path in store.incoming.untouched(before):
        with alone():
            if store.drop_untouched(path, before):
                swept.add(path.name.partition(".")[0])
    return len(swept)
