"""The real side of distillation: seeded minibatches per class out of images that are already decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medforge.base import BaseModule, batches
from medforge.client.data.task import Task

# Bounds the memory of a forward pass that needs no gradient.
CHUNK = 256


class RealImages:
    """Draw minibatches of a task's training images, all classes of a step in one indexing."""

    def __init__(self, base: BaseModule, task: Task) -> None:
        self._base = base
        self._images = task.train.images
        self._of_class = task.train.by_class(len(task.prompts))

    def choose(self, per_class: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Draw `per_class` training indices of every class without replacement, or all where a class has fewer."""
        return tuple(
            indices[torch.randperm(len(indices), generator=generator)[:per_class]] for indices in self._of_class
        )

    def images(self, chosen: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the chosen images of every class, normalised float32 [k, 3, S, S] on the base's device."""
        images = self._base.normalise(self._images[torch.cat(list(chosen))]).float()
        of_class: tuple[Tensor, ...] = images.split([len(indices) for indices in chosen])
        return of_class

    def draw(self, per_class: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Return one batch per class, as `choose` draws it."""
        return self.images(self.choose(per_class, generator))


class ControlVariate:
    """Correct class means of minibatches by what the bare base, or base + `deltas`, already says about every image.

    With g(x) its embedding of the unaugmented image, known for all images of a class, and ψ(A(x)) the
    embedding that a step asks for, mean_batch[ψ(A(x)) − g(x)] + mean_class[g(x)] has the expectation of
    mean_batch[ψ(A(x))], and less variance as far as ψ is near the base and A mild. The gradient of
    ‖μ_real − μ_learned‖² with respect to the learned images is linear in μ_real, so it is equal in expectation too.

    With medforge-tiny and the tiny recipe's extractor the variance over all DSA operations is .28 (LC25000 lung), .34
    (PneumoniaMNIST) and .37 (brain MRI) of the plain mean's; for brain from .03 for flips to .68 for cutout. Where
    ψ(A(x)) has little to do with g(x), it is higher than the plain mean's.

    ``embeddings`` are g(x) of all training images [n, d], and ``variance`` is the mean squared distance of one from its
    class's mean.
    """

    def __init__(self, base: BaseModule, task: Task, deltas: Mapping[str, Tensor] | None = None) -> None:
        images = task.train.images
        parts = [base.embed_all(base.normalise(images[part]), deltas) for part in batches(len(images), CHUNK)]
        self.embeddings = torch.cat(parts)
        of_class = [self.embeddings[indices] for indices in task.train.by_class(len(task.prompts))]
        self._class_means = torch.stack([rows.mean(dim=0) for rows in of_class])
        squares = [(rows - mean).square().sum() for rows, mean in zip(of_class, self._class_means, strict=True)]
        self.variance = float(torch.stack(squares).sum()) / len(images)

    def correction(self, chosen: Sequence[Tensor]) -> Tensor:
        """Return mean_class[g] − mean_batch[g] [C, d] for the indices drawn of every class; it is 0 for all of them."""
        drawn = self.embeddings[torch.cat(list(chosen))]
        return self._class_means - class_means(drawn, [len(indices) for indices in chosen])


def class_means(embeddings: Tensor, sizes: Sequence[int]) -> Tensor:
    """Average embeddings [n, d] over consecutive runs of `sizes` (which sum to n) → [len(sizes), d]."""
    return torch.stack([part.mean(dim=0) for part in embeddings.split(list(sizes))])
