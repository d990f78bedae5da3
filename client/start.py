"""Where training begins if not on the bare base module: a merged model, from a directory or from a forge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from medforge.base import load_base
from medforge.client.workspace import Workspace
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import SHORTEST_PREFIX, parse_json, sha256_bytes
from medforge.forge_item import ForgeItem
from medforge.plugin import Plugin
from medforge.proto.checkout import download_item
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge
from medforge.svd_plugin import kind_of, plugin_of, share_kept

HEAD = "head"


class Start(NamedTuple):
    """Name the forge item that training begins from (its digest), the plugin kind it gives, and what to say of it.

    `plugin` is what training begins with, where it has still to be kept.
    """

    item: str
    kind: str
    said: str = ""
    plugin: Plugin | None = None


def find_start(workspace: Workspace, text: str, find: Callable[[], ForgeItem], base: str, device: str) -> Start:
    """Find the merged model that a workspace begins, or has begun, from. It writes nothing.

    `find` reads the model that `text` names; in a workspace that has begun, "head" is the head that was. `base` is the
    base module's spec. Raises InvalidInput where the model is several networks, BaseMismatch where it belongs to
    another base.
    """
    if workspace.exists and workspace.settings.start is not None and text == HEAD:
        return Start(workspace.settings.start, workspace.settings.plugin)
    item = find()
    if workspace.begun:
        return Start(item.digest, kind_of(item))
    module = load_base(base, device)
    plugin = plugin_of(item, module)
    return Start(
        item.digest,
        plugin.settings.kind,
        f"begins from forge item {item.digest[:12]}: {plugin.settings.kind} of rank {plugin.settings.rank}, "
        f"{share_kept(plugin, item, module):.1%} of its weight change",
        plugin,
    )


def open_start(text: str, connection: Connection | None) -> ForgeItem:
    """Read a checked-out forge item's directory, or fetch a commit ("head", its digest, or the digest's beginning).

    Raises InvalidInput where a commit is named and no forge, or where it is not on the main branch, and what
    `RemoteForge` raises.
    """
    if Path(text).is_dir():
        return ForgeItem.load(Path(text))
    if connection is None:
        raise InvalidInput(
            f"--from {text}: there is no such directory, and to fetch a commit the forge must be known; "
            "give the directory of `medforge checkout`, or the forge with --kit DIR or --at HOST:PORT"
        )
    at = connection.address
    with RemoteForge(connection) as forge:
        commits = {sha256_bytes(content): content for _, content in forge.log()[0]}
        chosen = _choose(list(commits), text, at)
        return download_item(forge, chosen, _item_of(commits[chosen], at))


def _choose(commits: list[str], text: str, at: str) -> str:
    if not commits:
        raise InvalidInput(f"the main branch of the forge at {at} has no commit yet; leave --from out, or wait for one")
    if text == HEAD:
        return commits[-1]
    found = [commit for commit in commits if commit.startswith(text)] if len(text) >= SHORTEST_PREFIX else []
    if len(found) != 1:
        raise InvalidInput(
            f"--from {text} is no directory, and names no single commit of the forge at {at}; give {HEAD!r}, or "
            f"{SHORTEST_PREFIX} or more letters of a digest that `medforge log` lists"
        )
    return found[0]


def _item_of(commit: bytes, at: str) -> str | None:
    try:
        item = parse_json(commit)["item"]
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptFile(f"the forge at {at} sent a commit that cannot be read; do not trust it") from error
    return item if isinstance(item, str) else None
