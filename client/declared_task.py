"""Which declared task a centre is to work on: the forge's word, from a file or over the wire, its signature seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from medforge.client.workspace import Workspace
from medforge.declared_task import DeclaredTask
from medforge.errors import ForgeUnavailable, InvalidInput
from medforge.proto.connection import Connection
from medforge.proto.forge_keys import followed
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge
from medforge.proto.signed_task import SignedTask

_SECONDS = 10.0


def find_declared(
    workspace: Workspace,
    name: str | None,
    file: Path | None,
    connection: Connection | None,
    say: Callable[[str], None],
) -> DeclaredTask | None:
    """Return the declaration of the task that a new workspace is to work on; None where nobody declares it.

    It is the file's, else that of the task called `name` at the forge; a workspace that has begun keeps what it has.
    `say` hears where the forge cannot be asked, or declares no such task. Raises InvalidInput, CorruptFile or
    NotAllowed for a file or an answer that the forge has not signed, and what `RemoteForge` raises.
    """
    if file is not None:
        return _from_file(file, connection)
    if name is None or connection is None or workspace.begun:
        return None
    try:
        with RemoteForge(connection, _SECONDS) as forge:
            reply = forge.describe()
            tasks = forge.tasks(reply)
    except ForgeUnavailable as error:
        say(f"whether the forge declares task {name} is not known ({error}); the source's own classes are used")
        return None
    if name in tasks:
        return tasks[name].task
    if not reply.open_tasks:
        known = f"; it declares {', '.join(sorted(tasks))}" if tasks else ""
        say(f"the forge does not declare task {name}, so a branch of it waits until the maintainer does{known}")
    return None


def _from_file(file: Path, connection: Connection | None) -> DeclaredTask:
    signed = SignedTask.load(file)
    kit = connection.kit if connection else None
    if kit is not None and connection is not None and not _by_the_forge(signed, kit, connection):
        raise InvalidInput(
            f"{file} is a task of forge {signed.forge}, not of the kit's, {kit.card.forge}; ask its maintainer for "
            f"what `medforge task show {signed.task.name} --json` writes there"
        )
    return signed.task


def _by_the_forge(signed: SignedTask, kit: Kit, connection: Connection) -> bool:
    """Say whether a kit's forge signed a task, with the key in the kit or one that the forge proves to follow it."""
    if (signed.forge, signed.key) == (kit.card.forge, kit.card.key):
        return True
    if signed.forge != kit.card.forge:
        return False
    try:
        with RemoteForge(connection, _SECONDS) as forge:
            return signed.key in {link.successor for link in followed(forge.describe(), kit)}
    except ForgeUnavailable:
        return False
