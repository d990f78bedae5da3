"""The mistakes that a model is surest of: what to look at first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medforge.client.data.task import Task
from medforge.simulation.task_scores import LastAnswers

SHOWN = 6


@dataclass(frozen=True)
class Mistake:
    """Hold an image (uint8 [3, S, S]) with its centre and name, what it is, and what it was taken for how surely."""

    centre: str
    image: str
    truth: str
    answer: str
    probability: float
    pixels: NDArray[np.uint8]


def confident_mistakes(answers: LastAnswers, tasks: Mapping[str, Task], count: int = SHOWN) -> tuple[Mistake, ...]:
    """Return the wrongly answered test images that the model gives the highest probability, the surest first.

    `tasks` are the centres'. Images with several findings have no one answer, so nothing is returned of them.
    """
    found: list[tuple[float, str, int]] = []
    for name, outputs in answers.outputs.items():
        if outputs.labels.ndim == 2:
            return ()
        stated, given = outputs.logits.double().softmax(dim=1).max(dim=1)
        wrong = (given != outputs.labels).nonzero().flatten().tolist()
        found += [(float(stated[place]), name, place) for place in wrong]
    found.sort(key=lambda one: (-one[0], one[1], one[2]))
    return tuple(_mistake(answers, tasks[name], name, place, stated) for stated, name, place in found[:count])


def _mistake(answers: LastAnswers, task: Task, name: str, place: int, stated: float) -> Mistake:
    outputs = answers.outputs[name]
    pixels: NDArray[np.uint8] = task.test.images[place : place + 1][0].numpy()
    return Mistake(
        centre=name,
        image=task.test.images.names[place],
        truth=answers.names[int(outputs.labels[place])],
        answer=answers.names[int(outputs.logits[place].argmax())],
        probability=stated,
        pixels=pixels,
    )
