"""Fetch a commit's merged model from a forge, as what the commit says it is."""

from __future__ import annotations

from pathlib import PurePosixPath

from medforge.errors import CorruptFile
from medforge.forge_item import ForgeItem
from medforge.proto.remote import RemoteForge


def download_item(forge: RemoteForge, commit: str, item: str | None) -> ForgeItem:
    """Fetch the forge item of a commit, both by digest; raises CorruptFile where what comes is another one."""
    files = forge.item(commit)
    for path in files:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise CorruptFile(f"{forge.at} sent a file called {path!r}, which no forge item has; do not trust it")
    found = ForgeItem.parse(files)
    if found.digest != item:
        raise CorruptFile(f"{forge.at} sent another forge item than commit {commit[:12]} names; check it out again")
    return found
