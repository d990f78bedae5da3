"""The tasks that a merged model answers, as its card says them."""

from __future__ import annotations

from collections.abc import Iterable

from medforge.declared_task import DeclaredTask
from medforge.item import ForgeItem
from medforge.model_card import CardTask
from medforge.routed import Routed


def answered_tasks(item: ForgeItem, known: Iterable[DeclaredTask]) -> tuple[CardTask, ...]:
    """Return an item's tasks, sorted by name: a routed one says which, any other has those that are known."""
    if isinstance(item, Routed):
        return tuple(
            CardTask(
                name=one.card.name,
                modality=one.card.modality,
                classes=one.card.classes,
                furthest=one.spread.furthest(),
            )
            for one in item.tasks
        )
    named = sorted(known, key=lambda one: one.name)
    return tuple(CardTask(name=one.name, modality=one.modality, classes=one.classes) for one in named)
