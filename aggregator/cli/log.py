"""`medforge log`: what the main branch is made of, and what happened to the forge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from medforge.aggregator.cli.options import ReaderOptions
from medforge.cli.output import AsJson, say_json
from medforge.errors import printable

if TYPE_CHECKING:
    from medforge.aggregator.ledger.commit import Commit
    from medforge.aggregator.ledger.records import Arrival

_DONE = {"remove": "removed", "restore": "restored"}


def log(
    source: ReaderOptions,
    held: Annotated[bool, typer.Option("--held", help="List only what is held, and why.")] = False,
    journal: Annotated[
        bool, typer.Option("--journal", help="List everything that happened (the audit log); needs --forge.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the commits of a main branch, then the arrivals that are not in it.

    Examples:
        medforge log --forge forge
        medforge log --kit kit --held
    """
    from medforge.aggregator.forge.reader import check_chain, open_reader

    if journal:
        _log_journal(source, as_json)
        return
    with open_reader(source.forge, source.connection_if_asked(), source.ledger) as view:
        commits, outside = view.commits(), view.outside()
    check_chain(commits)
    if held:
        commits, outside = [], [one for one in outside if one.state == "held"]
    if as_json:
        say_json({"commits": [_plain(c) for c in commits], "outside": [_outside(o) for o in outside]})
    elif held and not outside:
        typer.echo("nothing is held")
    else:
        _print_log(commits, outside, empty=not held)


def _plain(commit: Commit) -> dict[str, object]:
    return {"digest": commit.digest, **commit.model_dump(mode="json")}


def _outside(arrival: Arrival) -> dict[str, object]:
    from dataclasses import asdict

    values = asdict(arrival)
    del values["signature"]
    return values


def _log_journal(source: ReaderOptions, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from medforge.aggregator.forge.forge import Forge
    from medforge.errors import InvalidInput

    if source.forge is None or source.at is not None:
        raise InvalidInput("the journal is read where the forge lies; give its directory with --forge")
    opened = Forge.open(source.forge, source.ledger)
    try:
        for entry in opened.ledger.journal():
            line = printable(f"{entry.number:6} {entry.at} {entry.actor}: {entry.what} {entry.about}")
            typer.echo(json.dumps(asdict(entry)) if as_json else line)
    finally:
        opened.close()


def _print_log(commits: list[Commit], outside: list[Arrival], empty: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table("arrival", "contributor", "task", "commit", "method", "accuracy on distilled data")
    for commit in commits:
        scores = ", ".join(f"{escape(printable(task))} {score.acc:.3f}" for task, score in commit.metrics.items())
        method = escape(f"{commit.method.method} {commit.method.level} {commit.method.coefficients}")
        what = "" if commit.kind == "fold" else f" ({_DONE[commit.kind]})"
        table.add_row(
            f"{commit.arrival}{what}",
            escape(printable(commit.contributor)),
            escape(printable(commit.task)),
            commit.digest[:12],
            method,
            scores,
        )
    if commits or empty:
        console.print(table if commits else "The main branch has no commit yet.")
    for one in outside:
        state = "waits for its turn" if one.state == "received" else f"is {one.state.value}: {one.reason}"
        line = f"arrival {one.number} ({one.contributor}: {one.task}) {state}{' (erased)' if one.erased else ''}"
        console.print(printable(line), markup=False, highlight=False)
