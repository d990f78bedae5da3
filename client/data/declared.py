"""A centre's images under a declared task: the site's own classes become the task's, all of them or some."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace

import torch

from medforge.client.data.class_map import mapped, spell_map
from medforge.client.data.task import Split, Task
from medforge.declared_task import DeclaredTask
from medforge.errors import InvalidInput
from medforge.prompt_form import normal_form


def declare(task: Task, declared: DeclaredTask, table: Mapping[str, str] | None = None) -> Task:
    """Return the task with a declaration's prompts, keys and modality, its classes in the order they have here.

    `table` gives each of the site's own names the key of a class, several names perhaps the same one. Without it a
    name, or its prompt, must be a key or a prompt of the declaration in normal form.

    Raises InvalidInput for a name that has no class, a class that is not declared, and a multi-label task.
    """
    if task.multi_label:
        raise InvalidInput(
            f"{task.name} may have several findings an image, and a declared task has one class; open it with one "
            "class an image"
        )
    places = _alike(task, declared) if table is None else _mapped(task, declared, table)
    kept = tuple(dict.fromkeys(places))
    labels = torch.tensor([kept.index(place) for place in places])
    return replace(
        task,
        train=_relabelled(task.train, labels),
        validation=_relabelled(task.validation, labels),
        test=_relabelled(task.test, labels),
        name=declared.name,
        prompts=tuple(declared.prompts[place] for place in kept),
        classes=tuple(declared.keys[place] for place in kept),
        modality=declared.modality or None,
        folders=tuple(_joined(task, places, place) for place in kept),
    )


def _mapped(task: Task, declared: DeclaredTask, table: Mapping[str, str]) -> tuple[int, ...]:
    for folder, key in table.items():
        if key not in declared.keys:
            raise InvalidInput(
                f"the map gives the folder '{folder}' the class '{key}', which task {declared.name} does not have; "
                f"choose one of {', '.join(declared.keys)}"
            )
    return tuple(declared.keys.index(key) for key in mapped(task.own_names, table))


def _alike(task: Task, declared: DeclaredTask) -> tuple[int, ...]:
    places = {normal_form(text): place for place, one in enumerate(declared.classes) for text in (one.key, one.prompt)}
    names = zip(task.own_names, task.prompts, strict=True)
    found = [next((places[form] for form in map(normal_form, pair) if form in places), None) for pair in names]
    keys = ["KEY" if place is None else declared.keys[place] for place in found]
    pairs = list(zip(task.own_names, keys, strict=True))
    if None in found:
        own, known = task.own_names[found.index(None)], ", ".join(declared.keys)
        raise InvalidInput(
            f"the folder '{own}' is no class of task {declared.name}, which has {known}; say which class it is with "
            f"--map FILE, written by: printf {shlex.quote(spell_map(pairs))} > FILE"
        )
    return tuple(place for place in found if place is not None)


def _relabelled(split: Split, labels: torch.Tensor) -> Split:
    return replace(split, labels=labels[split.labels])


def _joined(task: Task, places: tuple[int, ...], place: int) -> str:
    return ", ".join(name for name, at in zip(task.own_names, places, strict=True) if at == place)
