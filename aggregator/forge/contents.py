"""Which blobs each branch and each forge item is made of, asked once: manifests and commits never change."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.ledger.item_table import ItemTable
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import Arrival
from medforge.manifest import DISTILLED_FILE, PLUGIN_DIRECTORY, Manifest
from medforge.peft_format import WEIGHTS_FILE
from medforge.proto.errors import AlreadyHere, MissingBlob

_LEARNED = (f"{PLUGIN_DIRECTORY}/{WEIGHTS_FILE}", DISTILLED_FILE)


class _Said(NamedTuple):
    """Hold what a manifest says: the digests of the files by path, and what training began from."""

    files: Mapping[str, str]
    start: str | None


class Contents:
    """Say what the branches and forge items in a forge hold, by digests; each manifest is read once.

    Safe for any number of threads.
    """

    def __init__(self, ledger: Ledger, blobs: BlobStore) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._lock = threading.Lock()
        # by branch digest
        self._said: dict[str, _Said] = {}
        self._table = ItemTable(ledger)
        self._items: set[str] = set()
        self._last_commit = 0

    def files_of(self, arrival: Arrival) -> Mapping[str, str]:
        """Return the digests of a branch's files by path; nothing where its manifest is not here any more."""
        return self._of(arrival).files

    def start_of(self, arrival: Arrival) -> str | None:
        """Return the digest of the forge item that a branch's training began from; None for none, or no manifest."""
        return self._of(arrival).start

    def blobs_of(self, arrival: Arrival) -> set[str]:
        """Return the digests of a branch's manifest and files."""
        return {arrival.branch, *self.files_of(arrival).values()}

    def of_contributor(self, contributor: str) -> set[str]:
        """Return the digests of the blobs of a contributor's branches that are not erased."""
        theirs = self._ledger.arrivals_of(contributor)
        return {digest for arrival in theirs if not arrival.erased for digest in self.blobs_of(arrival)}

    def of_items(self) -> set[str]:
        """Return the digests of the blobs of all forge items."""
        with self._lock:
            self._read_items()
            return set(self._items)

    def is_of_item(self, digest: str) -> bool:
        """Say whether a blob is part of any forge item."""
        with self._lock:
            if digest not in self._items:
                self._read_items()
            return digest in self._items

    def check_new(self, manifest: Manifest, arrivals: Iterable[Arrival]) -> None:
        """Raise AlreadyHere where a branch has the plugin and images of one of its contributor's `arrivals`.

        That is one of another task, or of the same with the same files to the last: then only words of the manifest
        differ.
        """
        files = {path: entry.digest for path, entry in manifest.files.items()}
        learned = [files[path] for path in _LEARNED]
        for arrival in arrivals:
            known = self.files_of(arrival)
            if arrival.branch == manifest.digest or [known.get(path) for path in _LEARNED] != learned:
                continue
            if arrival.task != manifest.task or known == files:
                raise AlreadyHere(
                    f"the branch has the plugin and the distilled images of arrival {arrival.number} ({arrival.task}, "
                    f"{arrival.state.value}), which {manifest.contributor} has here already; withdraw that one first, "
                    f"or push what was trained anew"
                )

    def _read_items(self) -> None:
        commits = self._ledger.counts()[1]
        if commits > self._last_commit:
            # what was committed since they were counted is read again
            self._items |= self._table.files(after=self._last_commit)
            self._last_commit = commits

    def _of(self, arrival: Arrival) -> _Said:
        with self._lock:
            known = self._said.get(arrival.branch)
            if known is None:
                known = self._read(arrival.branch)
            return known

    def _read(self, branch: str) -> _Said:
        try:
            manifest = Manifest.parse(self._blobs.read(branch))
        except MissingBlob:
            # an erasure that was interrupted may have taken the manifest already
            return _Said({}, None)
        said = _Said({path: entry.digest for path, entry in manifest.files.items()}, manifest.start)
        self._said[branch] = said
        return said
