"""The real side of distillation: seeded minibatches per class out of images that are already decoded."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medforge.base import BaseModule
from medforge.client.data.task import Task


class RealImages:
    """Draw minibatches of a task's training images, all classes of a step in one indexing."""

    def __init__(self, base: BaseModule, task: Task) -> None:
        self._base = base
        self._images = task.train.images
        self._of_class = task.train.by_class(len(task.prompts))

    def draw(self, per_class: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Return one normalised batch per class, float32 [k, 3, S, S] on the base's device.

        k is `per_class`, or the number of the class's images if it has fewer: they are drawn without replacement.
        """
        chosen = [indices[torch.randperm(len(indices), generator=generator)[:per_class]] for indices in self._of_class]
        images = self._base.normalise(self._images[torch.cat(chosen)]).float()
        return tuple(images.split([len(indices) for indices in chosen]))


def class_means(embeddings: Tensor, sizes: Sequence[int]) -> Tensor:
    """Average embeddings [n, d] over consecutive runs of `sizes` (which sum to n) → [len(sizes), d]."""
    return torch.stack([part.mean(dim=0) for part in embeddings.split(list(sizes))])
