"""`medforge show`: what a commit is."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import typer

from medforge.aggregator.cli.log_lines import refused_lines
from medforge.aggregator.cli.options import OptionalCommit, ReaderOptions
from medforge.aggregator.cli.plain import plain_arrival, plain_commit, plain_refused
from medforge.cli.output import AsJson, say_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from medforge.aggregator.forge.rounds import Round
    from medforge.aggregator.ledger.records import Arrival
    from medforge.privacy_facts import PrivacyFacts
    from medforge.proto.signed_tag import SignedTag


def show(source: ReaderOptions, commit: OptionalCommit = None, as_json: AsJson = False) -> None:
    """Show a commit: what came or left, its members, how they were merged, every task's score before and after.

    Examples:
        medforge show --forge forge
        medforge show v1.0 --kit kit
    """
    from medforge.aggregator.cli.review_lines import review_lines
    from medforge.aggregator.cli.show_lines import show_lines
    from medforge.aggregator.forge.names import stable_or_named
    from medforge.aggregator.forge.rounds import round_of

    with source.opened() as reader:
        names, known = reader.display_names(), reader.tags()
        reviews, claims = reader.reviews(), reader.privacy_claims()
        chosen = stable_or_named(reader, commit, known, reviews.stable)
        shown, mark, length = round_of(chosen, reader), reviews.mark_of(chosen, reader), reader.page(0).length
        arrivals = reader.arrivals_by_number({*chosen.members, *shown.left, chosen.arrival})
    tags = [tag for tag in known.values() if tag.commit == chosen.digest]
    given, decided = reviews.said_of(chosen.digest)
    if as_json:
        said = {
            "standing": mark,
            "reviews": [one.signed.review.model_dump(mode="json") | {"at": one.at} for one in given],
            "decisions": [one.model_dump(mode="json") for one in decided],
        }
        say_json(_plain(shown, arrivals, names, tags, claims) | said | plain_refused(known))
        return
    for line in refused_lines(known):
        typer.echo(line, err=True)
    width = shutil.get_terminal_size().columns
    for line in show_lines(shown, arrivals, names, tags, claims, length, width):
        typer.echo(line)
    for line in review_lines(mark, given, decided, names, width):
        typer.echo(line)


def _plain(
    shown: Round,
    arrivals: Mapping[int, Arrival],
    names: Mapping[str, str],
    tags: Sequence[SignedTag],
    claims: Mapping[str, PrivacyFacts],
) -> dict[str, Any]:
    commit = shown.commit
    before = shown.before.metrics if shown.before else {}
    said = {digest: claim.model_dump() for digest, claim in claims.items()}
    return {
        "number": shown.number,
        "tags": [tag.model_dump(mode="json") for tag in tags],
        "came": list(shown.came),
        "returned": list(shown.returned),
        "left": list(shown.left),
        "metrics_before": {task: score.model_dump() for task, score in before.items()},
        "branches": [
            plain_arrival(arrivals[number], names) | {"privacy": said.get(arrivals[number].branch)}
            for number in commit.members
        ],
        **plain_commit(commit, arrivals[commit.arrival].accepted_at, names),
    }
