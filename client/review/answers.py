"""What a merged model answers to a site's own images: what is right, how sure it is, and where images are routed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medforge.base_module import BaseModule, batches
from medforge.client.data.task import Split
from medforge.client.model_task import ModelTask
from medforge.forge_item import ForgeItem
from medforge.predicting import predict
from medforge.progress import Progress
from medforge.ranking import NamedClasses

_BATCH = 64


@dataclass(frozen=True)
class Answers:
    """Hold, image by image, the label among the task's classes [n], whether the answer is right [n], P(label) [n].

    The task is asked for then. `routed` is where each image goes if it is not: a task, or None for none of these. None
    of this leaves the site.
    """

    labels: Tensor
    right: Tensor
    confidence: Tensor
    routed: tuple[str | None, ...]


def answers(
    item: ForgeItem, base: BaseModule, split: Split, asked: ModelTask, tasks: Sequence[NamedClasses], what: str
) -> Answers:
    """Ask a merged model, a batch at a time, about a split's images; `tasks` are all that it answers."""
    item.check(base)
    labels = asked.labels(split.labels)
    right: list[bool] = []
    sure: list[float] = []
    routed: list[str | None] = []
    with torch.no_grad(), Progress(what, len(split)) as bar:
        for part in batches(len(split), _BATCH):
            images = base.normalise(split.images[part])
            own = predict(item, base, images, tasks, (), top=len(asked.classes), only=asked.name)
            free = predict(item, base, images, tasks, ())
            for one, anywhere, label in zip(own, free, labels[part].tolist(), strict=True):
                key = asked.classes[label].key
                right.append(one.key == key)
                sure.append(next(ranked.class_probability for ranked in one.ranking if ranked.key == key))
                routed.append(None if anywhere.none_of_these else anywhere.task)
            bar.advance(len(own))
    return Answers(labels, torch.tensor(right), torch.tensor(sure, dtype=torch.float64), tuple(routed))
