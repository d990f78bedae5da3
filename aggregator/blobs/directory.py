"""Finished blobs in a directory of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from medforge.aggregator.blobs.names import DIGEST, check_digest
from medforge.aggregator.blobs.syncing import sync_directories, sync_file, sync_files
from medforge.files import make_private, sha256_file, sync_directory


class BlobDirectory:
    """Keep blobs as files below one directory; see `KeptBlobs` for what each call does."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        # directories of blobs whose own names this process has made durable
        self._rooted: set[Path] = set()

    def path(self, digest: str) -> Path:
        """Return where the blob lies, or would lie."""
        check_digest(digest)
        return self.directory / digest[:2] / digest

    fetched = path

    def has(self, digest: str) -> bool:
        """Say whether the blob's file is there."""
        return self.path(digest).is_file()

    def confirmed(self, digests: Set[str]) -> set[str]:
        """Return those whose files are there."""
        return {digest for digest in digests if self.has(digest)}

    def at_hand(self, digest: str) -> Path | None:
        """Return the blob's file, None where it is not there."""
        path = self.path(digest)
        return path if path.is_file() else None

    def size(self, digest: str) -> int | None:
        """Return the size of the blob's file."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def touch(self, digest: str) -> bool:
        """Let the file count as just written, and say whether it is there."""
        return touched(self.path(digest))

    def send_ahead(self, files: Mapping[str, Path]) -> None:
        """Do nothing: a rename takes no time."""

    def secure(self, files: Mapping[str, Path]) -> dict[str, Exception]:
        """Sync every file once, all at the same time: a disk empties its cache once for all that wait."""
        failed = sync_files(list(files.values()))
        # what was kept meanwhile, and so taken away from here, is durable
        return {digest: failed[path] for digest, path in files.items() if path in failed and not self.has(digest)}

    def name(self, digest: str, file: Path) -> None:
        """Rename a synced file."""
        target = self.path(digest)
        if not target.is_file():
            make_private(target.parent)
            file.replace(target)

    def seal(self, digests: Set[str]) -> None:
        """Sync every directory once: a name is durable when its directory is, whoever gave it."""
        parents = {self.path(digest).parent for digest in digests}
        # also of those that bear their names already: who named them may have been stopped before this
        roots = () if parents <= self._rooted else (self.directory, self.directory.parent)
        sync_directories(sorted(parents.union(roots)))
        self._rooted |= parents

    def keep(self, digest: str, file: Path) -> None:
        """Sync, rename and sync the directory."""
        target = self.path(digest)
        if not target.parent.is_dir():
            make_private(target.parent)
            sync_directory(self.directory)
        sync_file(file)
        file.replace(target)
        sync_directory(target.parent)

    def spare(self, digest: str, file: Path) -> None:
        """Delete the file."""
        file.unlink(missing_ok=True)

    def remove(self, digest: str) -> None:
        """Delete the blob's file."""
        self.path(digest).unlink(missing_ok=True)

    def present(self) -> Iterator[str]:
        """Return the digests of all files, in order."""
        for path in sorted(self.directory.glob("[0-9a-f][0-9a-f]/*")):
            if DIGEST.fullmatch(path.name):
                yield path.name

    def untouched(self, before: float) -> set[str]:
        """Return the digests of files that were last written before a time."""
        return {digest for digest in self.present() if last_touched(self.path(digest)) < before}

    def is_untouched(self, digest: str, before: float) -> bool:
        """Look at the file again."""
        return last_touched(self.path(digest)) < before

    def tidy(self, before: float) -> None:
        """Do nothing: transfers are files of whoever began them."""

    def digest_of(self, digest: str) -> str:
        """Digest the file."""
        return sha256_file(self.path(digest))

    def forget_copy(self, digest: str) -> bool:
        """Keep what is there: it is the only one."""
        return False

    def where(self, digest: str) -> str:
        """Return the path."""
        return str(self.path(digest))

    def problem(self) -> str:
        """Find nothing wrong: a disk's errors are those of who reads it."""
        return ""


def touched(path: Path) -> bool:
    """Let a file count as just written, and say whether it is there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def last_touched(path: Path) -> float:
    """Return when a file was last written (epoch s); infinity for one that is not there any more."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        # finished or removed just now
        return float("inf")
