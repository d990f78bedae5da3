"""Forge items by their files: each file is fetched once, whichever commits have it, and checked by its digest."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from medforge.client.review.question import ReviewedCommit
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import sha256_bytes, write_atomically
from medforge.forge_item import ForgeItem
from medforge.progress import Progress
from medforge.proto.remote import RemoteForge

_WRITING_SECONDS = 3600


class ItemFiles:
    """Keep files of forge items in a directory, by digest; the default is below the user's cache."""

    def __init__(self, directory: Path | None = None) -> None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._directory = directory or cache / "medforge" / "review"

    def item(self, forge: RemoteForge, commit: ReviewedCommit) -> ForgeItem:
        """Return a commit's forge item; only what is not here yet is fetched.

        Raises InvalidInput for a commit after which nobody was left, CorruptFile where what comes is another item than
        the commit names, NotFound where the forge does not have it any more.
        """
        if commit.item is None:
            raise InvalidInput(f"after commit {commit.digest[:12]} the main branch was empty; wait for the next")
        files: dict[str, bytes] = {}
        with Progress("fetching", len(commit.item_files)) as bar:
            for path, digest in commit.item_files.items():
                files[path] = self._file(forge, digest)
                bar.advance()
        item = ForgeItem.parse(files)
        if item.digest != commit.item:
            raise CorruptFile(
                f"{forge.at} sent another forge item than commit {commit.digest[:12]} names; do not trust it"
            )
        return item

    def keep_only(self, commits: Iterable[ReviewedCommit]) -> None:
        """Delete what none of these commits has."""
        needed = {digest for commit in commits for digest in commit.item_files.values()}
        for path in self._directory.glob("*"):
            if path.name not in needed and not _being_written(path):
                path.unlink(missing_ok=True)

    def _file(self, forge: RemoteForge, digest: str) -> bytes:
        path = self._directory / digest
        # another process of this user, which reviews for another site, may delete it at any moment
        with suppress(FileNotFoundError):
            data = path.read_bytes()
            if sha256_bytes(data) == digest:
                return data
        data = forge.blob(digest)
        write_atomically(path, data)
        return data


def _being_written(path: Path) -> bool:
    """Say whether a file that bears no digest yet is another process's; one that is old is a dead one's."""
    try:
        return path.name.startswith(".") and time.time() - path.stat().st_mtime < _WRITING_SECONDS
    except FileNotFoundError:
        return True
