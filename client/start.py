"""Where training begins if not on the bare base module: a merged model, from a directory or from a forge."""

from __future__ import annotations

import json
from pathlib import Path

from medforge.errors import CorruptFile, InvalidInput
from medforge.files import sha256_bytes
from medforge.forge_item import ForgeItem
from medforge.proto.checkout import download_item
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge

HEAD = "head"
_SHORTEST_PREFIX = 6


def open_start(text: str, at: str | None, kit: Kit | None, plaintext: bool) -> ForgeItem:
    """Read a checked-out forge item's directory, or fetch a commit ("head", its digest, or the digest's beginning).

    Raises InvalidInput where a commit is named and no forge, or where it is not on the main branch, and what
    `RemoteForge` raises.
    """
    if Path(text).is_dir():
        return ForgeItem.load(Path(text))
    if at is None:
        raise InvalidInput(
            f"--from {text}: there is no such directory, and to fetch a commit the forge must be known; "
            "give the directory of `medforge checkout`, or the forge with --kit DIR or --at HOST:PORT"
        )
    with RemoteForge(at, kit=kit, plaintext=plaintext) as forge:
        commits = {sha256_bytes(content): content for _, content in forge.log()[0]}
        chosen = _choose(list(commits), text, at)
        return download_item(forge, chosen, _item_of(commits[chosen], at))


def _choose(commits: list[str], text: str, at: str) -> str:
    if not commits:
        raise InvalidInput(f"the main branch of the forge at {at} has no commit yet; leave --from out, or wait for one")
    if text == HEAD:
        return commits[-1]
    found = [commit for commit in commits if commit.startswith(text)] if len(text) >= _SHORTEST_PREFIX else []
    if len(found) != 1:
        raise InvalidInput(
            f"--from {text} names no single commit of the forge at {at}; give {HEAD!r}, or {_SHORTEST_PREFIX} or more "
            "letters of a digest that `medforge log` lists"
        )
    return found[0]


def _item_of(commit: bytes, at: str) -> str | None:
    try:
        item = json.loads(commit)["item"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptFile(f"the forge at {at} sent a commit that cannot be read; do not trust it") from error
    return item if isinstance(item, str) else None
