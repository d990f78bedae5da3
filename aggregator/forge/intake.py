"""How a checked branch becomes an arrival: with those that come at once, first its blobs, then the ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache

from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.forge.candidate import Candidate
from medforge.aggregator.forge.contents import Contents
from medforge.aggregator.forge.group_commit import GroupCommit
from medforge.aggregator.forge.policy import Policy
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import Arrival, Standing
from medforge.errors import CorruptFile
from medforge.faults import reached
from medforge.manifest import Manifest
from medforge.proto.errors import MissingBlob, TooFast

# as many as there are callers at most, nearly always; more would keep the first waiting for long
_BRANCHES_TOGETHER = 32


class Intake:
    """Take checked branches in, durably; `adding` is held meanwhile, and by whoever deletes a blob."""

    def __init__(
        self, ledger: Ledger, blobs: BlobStore, contents: Contents, policy: Callable[[], Policy], adding: threading.Lock
    ) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._contents = contents
        self._policy = policy
        self._adding = adding
        self.group = GroupCommit(self._keep, _BRANCHES_TOGETHER)

    def check(self, manifest: Manifest, holder: str | None) -> None:
        """Check what takes no tensor to be read; raises InvalidBranch, OverLimit, MissingBlob or AlreadyHere."""
        name = manifest.contributor
        self._take_up(manifest, holder)
        self._check(manifest, holder, self._ledger.standings([name])[name], cache(self._ledger.invited_as))

    def add(self, candidate: Candidate) -> Arrival:
        """Make a branch durable, with those of others that wait; raises what `check` does, or TooFast."""
        return self.group.add(candidate, candidate.manifest.contributor)

    def _take_up(self, manifest: Manifest, holder: str | None) -> None:
        """Verify what an earlier process received whole, and was stopped before it was kept; drop what is spoilt."""
        for entry in manifest.files.values():
            if not self._blobs.holds(entry.digest, holder) and (
                self._blobs.partial_size(entry.digest, holder) == entry.size
            ):
                # it is missing then, as what never came
                with suppress(CorruptFile):
                    self._blobs.finish(entry.digest, entry.size, holder)

    def _keep(self, candidates: Sequence[Candidate]) -> list[Arrival | Exception]:
        """Make checked branches durable together: first their blobs, then, in one transaction, their arrivals.

        No two are of one contributor, so what is checked of each here holds whatever becomes of the others.
        """
        with self._adding:
            standings = self._ledger.standings([one.manifest.contributor for one in candidates])
            invited_as = cache(self._ledger.invited_as)
            results: dict[int, Arrival | Exception] = {}
            for place, one in enumerate(candidates):
                try:
                    # since it was checked others may have come, and files may have gone
                    standing = standings[one.manifest.contributor]
                    self._check(one.manifest, one.holder, standing, invited_as)
                    if one.limited:
                        self._check_few_wait(one.manifest.contributor, standing)
                    self._blobs.stage(one.content)
                except Exception as error:
                    results[place] = error
            sound = [place for place in range(len(candidates)) if place not in results]
            self._blobs.keep_together({digest for place in sound for digest in candidates[place].blobs})
            for _ in sound:
                reached("between blob and ledger")
            if sound:
                arrivals = self._ledger.add_arrivals([candidates[place].arriving for place in sound])
                results |= dict(zip(sound, arrivals, strict=True))
            return [results[place] for place in range(len(candidates))]

    def _check(
        self, manifest: Manifest, holder: str | None, standing: Standing, invited_as: Callable[[], Mapping[str, str]]
    ) -> None:
        from medforge.aggregator.forge.admission import check_manifest, check_name

        # who was invited under no other name has been seen by then
        if manifest.display_name is not None or not standing.invited:
            check_name(manifest, invited_as())
        check_manifest(manifest, self._policy(), standing.stored)
        check_uploaded(self._blobs, manifest, holder)
        self._contents.check_new(manifest, standing.arrivals)

    def _check_few_wait(self, contributor: str, standing: Standing) -> None:
        """Raise TooFast where a contributor has as many branches waiting as one may: arrivals are folded in order."""
        if standing.waiting >= self._policy().limits.waiting_per_contributor:
            raise TooFast(
                f"{contributor} has {standing.waiting} branches here that wait to be folded, and no more are taken "
                f"until one is; push again later"
            )


def check_uploaded(blobs: BlobStore, manifest: Manifest, holder: str | None = None) -> None:
    """Raise MissingBlob unless a holder, where it is known, has brought every file of a manifest."""
    for path, entry in sorted(manifest.files.items()):
        if not blobs.holds(entry.digest, holder):
            received = blobs.partial_size(entry.digest, holder)
            raise MissingBlob(
                f"{path} (blob {entry.digest}) has not been uploaded: {received} of {entry.size} bytes are here; "
                f"upload the rest, then submit again"
            )
