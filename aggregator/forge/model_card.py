"""The card of a commit's merged model: what commit, forge item and forge know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medforge import __version__
from medforge.aggregator.forge.identity import ForgeIdentity
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.records import Arrival
from medforge.forge_item import ForgeItem, Routed
from medforge.model_card import CardCommit, CardMember, CardTask, ModelCard, Recipe


def card_of(
    commit: Commit,
    item: ForgeItem,
    identity: ForgeIdentity,
    arrivals: Sequence[Arrival],
    names: Mapping[str, str],
) -> ModelCard:
    """Return what a commit's forge item says of itself; `names` are the contributors' display names."""
    by_number = {one.number: one for one in arrivals}
    members = [by_number[number] for number in commit.members if number in by_number]
    shares = {**commit.coefficients, **item.shares}
    return ModelCard(
        medforge=__version__,
        kind=item.kind,
        item=item.digest,
        base=identity.base,
        tasks=_tasks(commit, item, identity, {one.task for one in members}),
        members=tuple(
            CardMember(
                branch=one.branch,
                task=one.task,
                arrival=one.number,
                contributor=one.contributor,
                display_name=names.get(one.contributor),
                share=shares.get(one.branch),
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


def _tasks(commit: Commit, item: ForgeItem, identity: ForgeIdentity, answered: set[str]) -> tuple[CardTask, ...]:
    if isinstance(item, Routed):
        found = [
            CardTask(
                name=one.card.name,
                modality=one.card.modality,
                classes=one.card.classes,
                furthest=one.spread.furthest(),
            )
            for one in item.tasks
        ]
    else:
        found = [
            CardTask(name=one.name, modality=one.modality, classes=one.classes)
            for one in sorted(identity.tasks, key=lambda one: one.name)
            if one.name in answered
        ]
    scores = commit.metrics
    return tuple(
        one.model_copy(update={"loss": scores[one.name].loss, "acc": scores[one.name].acc})
        if one.name in scores
        else one
        for one in found
    )
