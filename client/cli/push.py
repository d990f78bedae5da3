"""`medforge push`: the branch goes to the forge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from medforge.cli.interrupt import on_interrupt
from medforge.cli.output import AsJson
from medforge.client.cli.kit_end import say_kit_ends
from medforge.client.cli.options import Existing, Override, Patience
from medforge.proto.options import ConnectionOptions

if TYPE_CHECKING:
    from medforge.client.workspace import Workspace
    from medforge.proto.connection import Connection
    from medforge.proto.receipt import Receipt


def push(
    workspace: Existing,
    forge: ConnectionOptions,
    override: Override = None,
    patience: Patience = 60.0,
    as_json: AsJson = False,
) -> None:
    """Push the audited branch to a forge; retries, resumes, and is harmless when repeated.

    Example:
        medforge push --workspace clinic --kit kit
    """
    from medforge.client.workspace import Workspace

    place = Workspace(workspace)
    place.settings  # noqa: B018  # the sentence for a missing workspace comes before anything else
    connection = forge.connection()
    with place.locked():
        receipt = send(place, connection, override, patience)
    typer.echo(receipt.model_dump_json() if as_json else pushed(receipt, connection))


def send(workspace: Workspace, connection: Connection, override: str | None, minutes: float) -> Receipt:
    """Push the workspace's branch, saying on stderr why it waits; raises what `push_workspace` raises."""
    from medforge.client.recovery import notice_restore
    from medforge.client.send import push_workspace

    def say(sentence: str) -> None:
        typer.echo(sentence, err=True)

    say_kit_ends(connection)
    with on_interrupt(
        lambda: (
            f"the branch stays in {workspace.path}, and the forge keeps what it received; run the same command "
            "again to go on from there"
        )
    ):
        receipt = push_workspace(workspace, connection, minutes, say, override)
    notice_restore(workspace, connection, say)
    return receipt


def pushed(receipt: Receipt, connection: Connection) -> str:
    """Say where the branch came in."""
    return f"pushed: arrival {receipt.arrival} at {connection.address} (forge {receipt.forge})"
