"""Where training begins if not on the bare base module: a merged model, from a directory or from a forge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from medforge.base import load_base
from medforge.client.workspace import Workspace
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import parse_json, sha256_bytes
from medforge.forge_item import ForgeItem, Routed
from medforge.plugin import Plugin
from medforge.progress import remark
from medforge.proto.checkout import download_item
from medforge.proto.connection import Connection
from medforge.proto.errors import NotFound
from medforge.proto.names import HEAD, STABLE, Candidate, choose, spell_commit
from medforge.proto.remote import RemoteForge
from medforge.proto.verified_log import VerifiedLog
from medforge.svd_plugin import kind_of, plugin_of, share_kept

_FIELDS = ("item", "kind", "arrival", "contributor", "task", "branch")


class Start(NamedTuple):
    """Name the forge item that training begins from (its digest), the plugin kind it gives, and what to say of it.

    `plugin` is what training begins with, where it has still to be kept. `task` is whose expert of a routed model it
    is; None for a model without experts.
    """

    item: str
    kind: str
    said: str = ""
    plugin: Plugin | None = None
    task: str | None = None


def find_start(
    workspace: Workspace,
    text: str,
    find: Callable[[], ForgeItem],
    base: str,
    device: str,
    own: str | None = None,
    named: str | None = None,
) -> Start:
    """Find the merged model that a workspace begins, or has begun, from. It writes nothing.

    `find` reads the model that `text` names; where one has begun, "head" and "stable" are what they were. `base` is the
    base module's spec. Of a routed model it is the expert of the task that is `named`, else of the `own` task. Raises
    InvalidInput where the model is several networks, BaseMismatch where it belongs to another base.
    """
    if workspace.exists and workspace.settings.start is not None and text in (HEAD, STABLE):
        return Start(workspace.settings.start, workspace.settings.plugin, task=named)
    item = find()
    network, task = choose_expert(item, own, named)
    if workspace.begun:
        return Start(item.digest, kind_of(network), task=task)
    module = load_base(base, device)
    plugin = plugin_of(network, module)
    expert = "" if task is None else f", its expert for {task}"
    return Start(
        item.digest,
        plugin.settings.kind,
        f"begins from forge item {item.digest[:12]}{expert}: {plugin.settings.kind} of rank {plugin.settings.rank}, "
        f"{share_kept(plugin, network, module):.1%} of its weight change",
        plugin,
        task,
    )


def choose_expert(item: ForgeItem, own: str | None, named: str | None) -> tuple[ForgeItem, str | None]:
    """Return the part of a merged model to begin from, and of a routed one the task whose expert it is.

    That is the task that is `named`, else the `own` one, else the only one. Raises InvalidInput for a name that the
    model does not have, and where there are several experts and none is named.
    """
    if not isinstance(item, Routed):
        if named is not None:
            raise InvalidInput(
                f"--from-task {named} cannot be used here: the merged model has no experts, it is one for all tasks; "
                "leave it out"
            )
        return item, None
    experts = {task.card.name: task.expert for task in item.tasks}
    wanted = named if named is not None or own not in experts else own
    if wanted is None and len(experts) == 1:
        wanted = next(iter(experts))
    if wanted not in experts:
        said = "which of them is not said" if wanted is None else f"none for {wanted}"
        raise InvalidInput(
            f"the merged model has an expert for each of {', '.join(experts)}, and {said}; name one with "
            "--from-task NAME"
        )
    return experts[wanted], wanted


class _Commit(NamedTuple):
    """Name a commit and its forge item (None where nobody was left) by their digests."""

    digest: str
    item: str | None


def open_start(text: str, connection: Connection | None) -> ForgeItem:
    """Read a checked-out forge item's directory, or fetch a commit by what people call it.

    That is "head", "stable", a tag and so on. Raises InvalidInput where a commit is named and no forge, or where it is
    not on the main branch, and what `RemoteForge` raises.
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
        told = forge.describe()
        tag = forge.tags(told).named(text)
        # a forge of an earlier version knows no stable commit: all its commits are as good as each other
        named = tag.commit if tag is not None else (told.stable or HEAD) if text == STABLE else text
        with closing(VerifiedLog(forge)) as log:
            for line in log.said:
                remark(line)
            chosen = _choose([_candidate(record.content, at) for record in log.records()], named, at)
        return download_item(forge, chosen.digest, chosen.item)


def _choose(commits: Sequence[Candidate[_Commit]], text: str, at: str) -> _Commit:
    if not commits:
        raise InvalidInput(f"the main branch of the forge at {at} has no commit yet; leave --from out, or wait for one")
    if text == HEAD:
        return commits[-1].value
    try:
        return choose(commits, text, "commit")
    except NotFound as error:
        raise InvalidInput(f"--from {text}: there is no such directory, and {error}") from error


def _candidate(content: bytes, at: str) -> Candidate[_Commit]:
    digest = sha256_bytes(content)
    try:
        item, kind, arrival, who, task, branch = (parse_json(content)[name] for name in _FIELDS)
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptFile(f"the forge at {at} sent a commit that cannot be read; do not trust it") from error
    commit = _Commit(digest, item if isinstance(item, str) else None)
    return Candidate(commit, arrival, str(task), (digest, str(branch)), spell_commit(digest, kind, arrival, who, task))
