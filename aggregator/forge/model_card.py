"""The card of a commit's merged model: what commit, forge item and forge know of it."""

from __future__ import annotations

from collections.abc import Mapping

from medforge import __version__
from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.forge.identity import ForgeIdentity
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.records import Arrival
from medforge.answered_tasks import answered_tasks
from medforge.forge_item import ForgeItem
from medforge.model_card import CardCommit, CardMember, CardTask, ModelCard, Recipe
from medforge.privacy_facts import PrivacyFacts


def card_of(
    commit: Commit,
    item: ForgeItem,
    identity: ForgeIdentity,
    arrivals: Mapping[int, Arrival],
    names: Mapping[str, str],
    claims: Mapping[str, PrivacyFacts],
) -> ModelCard:
    """Return what a commit's forge item says of itself.

    `arrivals` are its members at least, by number, `names` the contributors' display names, and `claims` the branches'
    differential privacy, by their digests.
    """
    members = [arrivals[number] for number in commit.members if number in arrivals]
    answered = {one.task for one in members}
    shares = {**commit.coefficients, **item.shares}
    return ModelCard(
        medforge=__version__,
        kind=item.kind,
        item=item.digest,
        base=identity.base,
        tasks=_scored(answered_tasks(item, (one for one in identity.tasks if one.name in answered)), commit.metrics),
        members=tuple(
            CardMember(
                branch=one.branch,
                task=one.task,
                arrival=one.number,
                contributor=one.contributor,
                display_name=names.get(one.contributor),
                share=shares.get(one.branch),
                privacy=claims.get(one.branch),
            )
            for one in members
        ),
        recipe=Recipe(
            method=commit.method.model_dump(mode="json"),
            seed=commit.seed,
            software=commit.software,
            compute=commit.compute,
        ),
        commit=CardCommit(digest=commit.digest, forge=identity.forge, arrival=commit.arrival, kind=commit.kind),
    )


def _scored(tasks: tuple[CardTask, ...], scores: Mapping[str, TaskScore]) -> tuple[CardTask, ...]:
    return tuple(
        one.model_copy(update={"loss": scores[one.name].loss, "acc": scores[one.name].acc})
        if one.name in scores
        else one
        for one in tasks
    )
