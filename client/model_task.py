"""Which of a merged model's tasks labelled images are of, and which class each of the set's own is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from medforge.client.data.class_map import mapped
from medforge.client.data.task import Task
from medforge.declared_task import DeclaredTask, TaskClass
from medforge.errors import InvalidInput
from medforge.files import read_file
from medforge.forge_item import ForgeItem, Routed
from medforge.model_card import CardTask, ModelCard
from medforge.model_directory import CARD_FILE
from medforge.prompt_form import normal_form
from medforge.task_card import TaskCard


@dataclass(frozen=True)
class ModelTask:
    """Hold a task of a merged model, and for each class of a set of images its place among the task's classes."""

    name: str
    classes: tuple[TaskClass, ...]
    places: tuple[int, ...]

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts of all the task's classes, also of those that the set has no image of."""
        return tuple(one.prompt for one in self.classes)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all the task's classes."""
        return tuple(one.key for one in self.classes)

    def labels(self, labels: Tensor) -> Tensor:
        """Return the set's labels [n] as places among the task's classes."""
        return torch.tensor(self.places)[labels]


def card_of(directory: Path) -> ModelCard | None:
    """Return what a checkout says of itself; None for a directory of an earlier version, which says nothing."""
    path = directory / CARD_FILE
    return ModelCard.parse(read_file(path, "the model card"), str(path)) if path.is_file() else None


def tasks_of(item: ForgeItem, card: ModelCard | None) -> tuple[DeclaredTask, ...]:
    """Return the tasks that a merged model knows by name; none for a network of an earlier version."""
    if card is not None and card.tasks:
        return tuple(_declared(one) for one in card.tasks)
    return tuple(_declared(task.card) for task in item.tasks) if isinstance(item, Routed) else ()


def _declared(one: CardTask | TaskCard) -> DeclaredTask:
    return DeclaredTask(name=one.name, modality=one.modality, classes=one.classes)


def model_task(
    known: Sequence[DeclaredTask], task: Task, named: str | None, table: Mapping[str, str] | None = None
) -> ModelTask:
    """Return the model's task that has every class of a set, by the class's own name (or prompt) as key or prompt.

    `table` gives each of the set's own names the key of a class instead, several names perhaps the same one. `named`
    says which task it is where several have them. Raises InvalidInput for a task or a class that the model does not
    have, for a name that the table lacks, and where several tasks have every class.
    """
    words: tuple[tuple[str, ...], ...] = tuple(zip(task.own_names, task.prompts, strict=True))
    if table is not None:
        words = tuple((key,) for key in mapped(task.own_names, table))
    names = ", ".join(one.name for one in known)
    among = [one for one in known if named is None or one.name == named]
    if not among:
        raise InvalidInput(f"the model has no task '{named}'; choose one of {names}")
    found = [(one, _places(one, words)) for one in among]
    whole = [(one, places) for one, places in found if None not in places]
    if len(whole) > 1:
        several = ", ".join(one.name for one, _ in whole)
        raise InvalidInput(f"the tasks {several} of the model have these classes; say which it is with --task")
    nearest, places = whole[0] if whole else max(found, key=lambda pair: len(pair[1]) - pair[1].count(None))
    if not whole:
        unknown, *_ = words[places.index(None)]
        raise InvalidInput(
            f"the model does not know the class '{unknown}' of {task.name}; its task {nearest.name} has "
            f"{', '.join(nearest.keys)}: name the class so, say with --map which one it is, or leave its images out"
        )
    kept = tuple(place for place in places if place is not None)
    return ModelTask(nearest.name, nearest.classes, kept)


def _places(known: DeclaredTask, words: Sequence[tuple[str, ...]]) -> tuple[int | None, ...]:
    at = {normal_form(text): place for place, one in enumerate(known.classes) for text in (one.key, one.prompt)}
    return tuple(next((at[form] for form in map(normal_form, one) if form in at), None) for one in words)
