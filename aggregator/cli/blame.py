"""`medforge blame`: which branches answer a task."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.aggregator.cli.options import ReaderOptions
from medforge.aggregator.cli.plain import plain_arrival
from medforge.cli.output import AsJson, say_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medforge.aggregator.ledger.records import Arrival


def blame(
    source: ReaderOptions,
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task's name.")],
    commit: Annotated[
        str | None,
        typer.Option(
            metavar="COMMIT", help="stable (the default), head, or another commit by a tag, its digest or arrival."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the branches that answer a task, with what each counts, and those that do not.

    Examples:
        medforge blame lung --forge forge
        medforge blame lung --kit kit --commit v1.0
    """
    from medforge.aggregator.cli.blame_lines import blame_lines
    from medforge.aggregator.forge.names import stable_or_named
    from medforge.aggregator.forge.shares import shares_of
    from medforge.proto.tags import Tags

    with source.opened() as reader:
        names = reader.display_names()
        chosen = stable_or_named(reader, commit, reader.tags() if commit else Tags(), reader.reviews().stable)
        sent = branches_of(task, reader.arrivals())
        shares = shares_of(chosen, task, reader.item_file, sent)
    if as_json:
        answering = [
            plain_arrival(one, names) | {"answers": one.number in chosen.members, "share": shares.get(one.branch)}
            for one in sent
        ]
        say_json({"task": task, "commit": chosen.digest, "branches": answering})
        return
    for line in blame_lines(task, chosen, sent, shares, names, shutil.get_terminal_size().columns):
        typer.echo(line)


def branches_of(task: str, arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Return what was sent for a task, in order; raise NotFound, with the tasks that are meant perhaps, for nothing."""
    from difflib import get_close_matches

    from medforge.errors import printable
    from medforge.proto.errors import NotFound

    found = [one for one in arrivals if one.task == task]
    if not found:
        known = sorted({one.task for one in arrivals})
        near = get_close_matches(task, known, 3) or known[:10]
        remedy = f"there is {', '.join(map(printable, near))}" if near else "push a branch of it"
        raise NotFound(f"no branch was sent for a task {printable(task[:100])!r}; {remedy}")
    return found
