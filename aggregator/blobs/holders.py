"""Who has shown that it has the bytes of a blob: a digest alone is no key to what somebody else brought."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path

from medforge.aggregator.blobs.names import check_digest, spelled
from medforge.files import PRIVATE, make_private


class Holders:
    """Mark, by an empty file each, that somebody brought a blob, whole."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def has(self, digest: str, holder: str) -> bool:
        """Say whether a holder brought a blob."""
        return self._marker(digest, holder).exists()

    def mark(self, digest: str, holder: str) -> None:
        """Note that a holder brought a blob."""
        # not synced: where a power cut takes it, its holder sends the blob once more
        marker = self._marker(digest, holder)
        make_private(marker.parent)
        marker.touch(PRIVATE)

    def forget(self, digest: str) -> None:
        """Forget all who brought a blob."""
        shutil.rmtree(self._of(digest), ignore_errors=True)

    def brought(self) -> dict[str, set[str]]:
        """Return the digests of what each holder, as it is spelled, has brought; it reads all names."""
        found: dict[str, set[str]] = defaultdict(set)
        for path in self._directory.glob("??/*/*"):
            found[path.name].add(path.parent.name)
        return found

    def _marker(self, digest: str, holder: str) -> Path:
        """Return the file whose presence says that a holder brought a blob; a name may be no file's name."""
        return self._of(digest) / spelled(holder)

    def _of(self, digest: str) -> Path:
        return self._directory / check_digest(digest)[:2] / digest
