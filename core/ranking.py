"""The likeliest classes of images, over the classes of several tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from medforge.declared_task import TaskClass
from medforge.prediction import RankedClass


class NamedClasses(Protocol):
    """Name a task and its classes."""

    @property
    def name(self) -> str:
        """The task's name."""

    @property
    def classes(self) -> tuple[TaskClass, ...]:
        """Its classes, in the order of their probabilities."""


def rank_classes(
    tasks: Sequence[NamedClasses], of_task: Tensor, of_class: Sequence[Tensor], top: int
) -> list[tuple[RankedClass, ...]]:
    """Return the ``top`` classes of each image by P(task) · P(class | task), the likeliest first.

    ``of_task`` [n, T] are P(task | image), ``of_class`` [n, C_t] a task P(class | task, image). Of classes as likely as
    each other the first counts.
    """
    owners = [(index, place) for index, task in enumerate(tasks) for place in range(len(task.classes))]
    joint = torch.cat([of_task[:, [index]] * of_class[index] for index in range(len(tasks))], dim=1)
    order = joint.argsort(dim=1, descending=True, stable=True)[:, :top]
    ranked = []
    for row, columns in enumerate(order.tolist()):
        classes = []
        for index, place in (owners[column] for column in columns):
            one, task = tasks[index].classes[place], tasks[index]
            chances = float(of_task[row, index]), float(of_class[index][row, place])
            classes.append(RankedClass(task.name, one.key, one.prompt, *chances))
        ranked.append(tuple(classes))
    return ranked


def no_such_task(name: str, known: Sequence[str]) -> str:
    """Return what to say of a task that a model does not have."""
    return f"the model has no task {name[:100]!r}; it has {', '.join(known)}"
