"""Which blobs are here whole and verified, in files of their own, and not kept yet."""

from __future__ import annotations

from pathlib import Path

from medforge.aggregator.blobs.incoming import Stamp, VerifiedFile


class StagedBlobs:
    """Know the staged files of each blob by whoever brought them, None for nobody in particular.

    Of one blob one thread changes something at a time; any may ask meanwhile.
    """

    def __init__(self) -> None:
        self._files: dict[str, dict[str | None, VerifiedFile]] = {}

    def path(self, digest: str) -> Path | None:
        """Return a file that a blob lies in, None where it is not staged."""
        return next((file.path for file in self._of(digest) if file.path.is_file()), None)

    def is_brought(self, digest: str, holder: str | None) -> bool:
        """Say whether somebody's file of a blob is here."""
        file = self._files.get(digest, {}).get(holder)
        return file is not None and file.path.is_file()

    def is_untouched(self, digest: str, descriptor: int) -> bool:
        """Say whether an open file is one of a blob's, as it was when it was verified."""
        return Stamp.of(descriptor) in [file.stamp for file in self._of(digest)]

    def note(self, digest: str, holder: str | None, file: VerifiedFile) -> None:
        """Note a verified file."""
        # a new dictionary, as others read without a lock
        self._files[digest] = {**self._files.get(digest, {}), holder: file}

    def take(self, digest: str) -> dict[str | None, Path]:
        """Forget a blob's files, and return where they lie."""
        return {holder: file.path for holder, file in self._files.pop(digest, {}).items()}

    def forget(self, digest: str, path: Path) -> None:
        """Forget one file of a blob."""
        left = {holder: file for holder, file in self._files.pop(digest, {}).items() if file.path != path}
        if left:
            self._files[digest] = left

    def _of(self, digest: str) -> list[VerifiedFile]:
        return list(self._files.get(digest, {}).values())
