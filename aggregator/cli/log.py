"""`medforge log`: what the main branch is made of, and what happened to the forge."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from medforge.aggregator.cli.log_lines import (
    commit_lines,
    journal_lines,
    outside_lines,
    refused_lines,
    spell_marks,
)
from medforge.aggregator.cli.options import ReaderOptions
from medforge.aggregator.cli.plain import plain_arrival, plain_commit, plain_refused
from medforge.cli.output import AsJson, say_json

if TYPE_CHECKING:
    from medforge.aggregator.ledger.commit import Commit
    from medforge.aggregator.ledger.records import Arrival
    from medforge.proto.tags import Tags


def log(
    source: ReaderOptions,
    held: Annotated[bool, typer.Option("--held", help="List only what is held, and why.")] = False,
    journal: Annotated[
        bool, typer.Option("--journal", help="List everything that happened (the audit log); needs --forge.")
    ] = False,
    graph: Annotated[
        bool, typer.Option("--graph", help="Draw it: what came, left and came back, tags, and what is held beside it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the commits of a main branch, then the arrivals that are not in it.

    Examples:
        medforge log --forge forge
        medforge log --forge forge --graph
        medforge log --kit kit --held
    """
    from medforge.aggregator.forge.reader import check_chain, open_reader
    from medforge.errors import InvalidInput

    if held + journal + graph > 1:
        raise InvalidInput("--held, --journal and --graph are three different lists; give one of them")
    if journal:
        _log_journal(source, as_json)
        return
    with open_reader(source.forge, source.connection_if_asked(), source.ledger) as reader:
        commits, arrivals, names = reader.commits(), reader.arrivals(), reader.display_names()
        tags, reviews, claims = reader.tags(), reader.reviews(), reader.privacy_claims()
    check_chain(commits)
    if not as_json:
        for line in refused_lines(tags):
            typer.echo(line, err=True)
    standing = reviews.marks(commits)
    claimed = {commit.digest: claims[commit.branch] for commit in commits if commit.branch in claims}
    marks = _Marks(tags, standing, {digest: str(claim) for digest, claim in claimed.items()})
    if graph:
        _log_graph(commits, arrivals, names, marks, as_json)
        return
    # what was folded since the commits were read is in none of them
    inside = set(commits[-1].members) if commits else set()
    outside = [
        one for one in arrivals if (one.state == "held" if held else one.state != "folded" or one.number not in inside)
    ]
    if held:
        commits = []
    if as_json:
        accepted = {one.number: one.accepted_at for one in arrivals}
        say_json(
            {
                "commits": [
                    plain_commit(commit, accepted[commit.arrival], names)
                    | {"tags": [tag.name for tag in tags.values() if tag.commit == commit.digest]}
                    | {"reviews": standing.get(commit.digest)}
                    | {"privacy": claims[commit.branch].model_dump() if commit.branch in claims else None}
                    for commit in commits
                ],
                "stable": reviews.stable or (commits[-1].digest if commits else None),
                "reviewed": reviews.stable is not None,
                "outside": [plain_arrival(one, names) for one in outside],
                **plain_refused(tags),
            }
        )
    elif held:
        _say(outside_lines(outside, names, _width()) if outside else ["nothing is held"])
    else:
        _say_log(commits, arrivals, outside, names, marks)


class _Marks(NamedTuple):
    """Hold what is said beside commits: tags by name; how they stand by reviews and claim privacy, by digest."""

    tags: Tags
    standing: Mapping[str, str]
    claims: Mapping[str, str]

    def spelt(self) -> dict[str, str]:
        return spell_marks(self.tags.values(), self.standing, self.claims)


def _log_graph(
    commits: list[Commit],
    arrivals: list[Arrival],
    names: Mapping[str, str],
    marks: _Marks,
    as_json: bool,
) -> None:
    from medforge.aggregator.cli.graph_lines import graph_lines, never_in
    from medforge.aggregator.forge.rounds import rounds_of

    rounds, known = rounds_of(commits), {one.number: one for one in arrivals}
    if as_json:
        graph = [
            {"number": one.number, "digest": one.commit.digest, "kind": one.commit.kind}
            | {"came": one.came, "returned": one.returned, "left": one.left}
            | {"tags": [tag.name for tag in marks.tags.values() if tag.commit == one.commit.digest]}
            | {"reviews": marks.standing.get(one.commit.digest)}
            for one in rounds
        ]
        aside = [plain_arrival(one, names) for one in never_in(rounds, known)]
        say_json({"graph": graph, "never_in": aside, **plain_refused(marks.tags)})
    elif arrivals:
        _say(graph_lines(rounds, known, names, marks.spelt(), _width()))
    else:
        _say(["the main branch has no commit yet"])


def _say_log(
    commits: list[Commit],
    arrivals: list[Arrival],
    outside: list[Arrival],
    names: Mapping[str, str],
    marks: _Marks,
) -> None:
    if commits:
        method = commits[-1].method
        reviewed = "" if marks.standing else "; nobody reviews it, so the newest commit is the stable one"
        _say([f"folded by {method.method} {method.level} {method.coefficients}{reviewed}"])
        _say(commit_lines(commits, {one.number: one for one in arrivals}, names, _width(), marks.spelt()))
    else:
        _say(["the main branch has no commit yet"])
    if outside:
        _say(["", "not in the main branch"])
        _say(outside_lines(outside, names, _width()))


def _log_journal(source: ReaderOptions, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from medforge.aggregator.forge.forge import Forge
    from medforge.errors import InvalidInput

    if source.forge is None or source.at is not None:
        raise InvalidInput("the journal is read where the forge lies; give its directory with --forge")
    opened = Forge.open(source.forge, source.ledger)
    try:
        entries, names = opened.ledger.journal(), opened.ledger.display_names()
    finally:
        opened.close()
    if as_json:
        about = [{"about": json.loads(entry.about), "display_name": names.get(entry.actor)} for entry in entries]
        say_json({"journal": [asdict(entry) | more for entry, more in zip(entries, about, strict=True)]})
    else:
        _say(journal_lines(entries, names, _width()))


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


def _width() -> int:
    return shutil.get_terminal_size().columns
