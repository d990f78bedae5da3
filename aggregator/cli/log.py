"""`medforge log`: what the main branch is made of, and what happened to the forge."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medforge.aggregator.cli.log_lines import (
    beside_lines,
    commit_lines,
    journal_lines,
    newer_lines,
    older_lines,
    outside_lines,
    refused_lines,
    spell_marks,
)
from medforge.aggregator.cli.options import ReaderOptions
from medforge.aggregator.cli.plain import plain_arrival, plain_commit, plain_refused
from medforge.cli.output import AsJson, say_json

if TYPE_CHECKING:
    from medforge.aggregator.forge.log_view import LogView, Span
    from medforge.aggregator.ledger.commit import Commit

_PAGE = 50


def log(
    source: ReaderOptions,
    held: Annotated[bool, typer.Option("--held", help="List only what is held, and why.")] = False,
    journal: Annotated[
        bool, typer.Option("--journal", help="List everything that happened (the audit log); needs --forge.")
    ] = False,
    graph: Annotated[
        bool, typer.Option("--graph", help="Draw it: what came, left and came back, tags, and what is held beside it.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="List the newest N only. Default: 50; all with --held and --json."),
    ] = None,
    before: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="List what comes before the N-th commit (or entry).")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="List all, from the beginning on.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the newest commits of a main branch, then the arrivals that are not in it.

    Every commit that is listed is verified, and that it follows the one before; older ones are not read. `--all`, and
    `medforge fsck`, verify the whole chain; with --kit what is fetched is verified from the first commit on, once.

    Examples:
        medforge log --forge forge
        medforge log --forge forge --graph
        medforge log --kit kit --held
    """
    from medforge.aggregator.forge.log_view import LogView
    from medforge.errors import InvalidInput

    if held + journal + graph > 1:
        raise InvalidInput("--held, --journal and --graph are three different lists; give one of them")
    if everything and not (limit is None and before is None):
        raise InvalidInput("--all lists what --limit and --before would leave out; give one or the other")
    span = _span(limit, before, everything or as_json or held)
    if journal:
        _log_journal(source, span, as_json)
        return
    with source.opened() as reader:
        view = LogView.read(reader, span, held)
        if not as_json:
            for line in refused_lines(view.tags):
                typer.echo(line, err=True)
        if graph:
            _log_graph(view, as_json)
        elif as_json:
            say_json(_plain_log(view))
        elif held:
            _say_held(view)
        else:
            _say_log(view)


def _span(limit: int | None, before: int | None, everything: bool) -> Span:
    from medforge.aggregator.forge.log_view import Span

    return Span(limit if limit or everything else _PAGE, before)


def _plain_log(view: LogView) -> dict[str, Any]:
    head = view.page.head
    return {
        "commits": [
            plain_commit(commit, view.arrivals[commit.arrival].accepted_at, view.names)
            | _plain_marks(view, commit)
            | {"privacy": view.claims[commit.branch].model_dump() if commit.branch in view.claims else None}
            for commit in view.page.commits
        ],
        **_plain_rest(view),
        "stable": view.stable or (head.digest if head else None),
        "reviewed": view.stable is not None,
        "outside": [plain_arrival(one, view.names) for one in view.outside],
        "older_outside": view.older,
        **plain_refused(view.tags),
    }


def _plain_marks(view: LogView, commit: Commit) -> dict[str, Any]:
    tags = [tag.name for tag in view.tags.values() if tag.commit == commit.digest]
    return {"tags": tags, "reviews": view.standing.get(commit.digest)}


def _plain_rest(view: LogView) -> dict[str, int]:
    return {"older": view.page.older, "newer": view.page.newer}


def _marks(view: LogView) -> dict[str, str]:
    commits = view.page.commits
    claims = {one.digest: str(view.claims[one.branch]) for one in commits if one.branch in view.claims}
    return spell_marks(view.tags.values(), view.standing, claims)


def _log_graph(view: LogView, as_json: bool) -> None:
    from medforge.aggregator.cli.graph_lines import graph_lines

    if as_json:
        graph = [
            {"number": one.number, "digest": one.commit.digest, "kind": one.commit.kind}
            | {"came": one.came, "returned": one.returned, "left": one.left}
            | _plain_marks(view, one.commit)
            for one in view.rounds
        ]
        aside = [plain_arrival(one, view.names) for one in view.never_in]
        say_json({"graph": graph, **_plain_rest(view), "never_in": aside, **plain_refused(view.tags)})
    elif view.rounds or view.never_in:
        _say(older_lines(view.page.older, view.page.first, "commits"))
        _say(graph_lines(view.rounds, view.never_in, view.changed, view.names, _marks(view), _width()))
        _say(newer_lines(view.page.newer, "commits"))
    else:
        _say(["the main branch has no commit yet"])


def _say_held(view: LogView) -> None:
    _say(beside_lines(view.older))
    _say(outside_lines(view.outside, view.names, _width()) if view.outside else ["nothing is held"])


def _say_log(view: LogView) -> None:
    page = view.page
    if page.commits:
        method = page.commits[-1].method
        reviewed = "" if view.stable else "; nobody reviews it, so the newest commit is the stable one"
        _say([f"folded by {method.method} {method.level} {method.coefficients}{reviewed}"])
        _say(older_lines(page.older, page.first, "commits"))
        _say(commit_lines(page.commits, view.arrivals, view.names, _width(), _marks(view)))
        _say(newer_lines(page.newer, "commits"))
    else:
        _say(["the main branch has no commit yet" if page.head is None else "no commit comes before that one"])
    if view.outside:
        _say(["", "not in the main branch"])
        _say(beside_lines(view.older))
        _say(outside_lines(view.outside, view.names, _width()))


def _log_journal(source: ReaderOptions, span: Span, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from medforge.aggregator.forge.forge import Forge
    from medforge.aggregator.ledger.log_page import page_bounds
    from medforge.errors import InvalidInput

    if source.forge is None or source.at is not None:
        raise InvalidInput("the journal is read where the forge lies; give its directory with --forge")
    opened = Forge.open(source.forge, source.ledger)
    try:
        length = opened.ledger.journal_length()
        first, last = page_bounds(length, span.limit, span.before)
        entries = opened.ledger.journal(first - 1, max(last - first + 1, 0))
        names = opened.ledger.display_names()
    finally:
        opened.close()
    older, newer = first - 1, length - last
    if as_json:
        about = [{"about": json.loads(entry.about), "display_name": names.get(entry.actor)} for entry in entries]
        listed = [asdict(entry) | more for entry, more in zip(entries, about, strict=True)]
        say_json({"journal": listed, "older": older, "newer": newer})
    else:
        _say(older_lines(older, first, "entries"))
        _say(journal_lines(entries, names, _width()))
        _say(newer_lines(newer, "entries"))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


def _width() -> int:
    return shutil.get_terminal_size().columns
