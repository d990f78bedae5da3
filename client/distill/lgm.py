"""Linear gradient matching: learned images train a linear classifier on frozen features the way the real ones do.

Cazenavette, Torralba and Sitzmann, "Dataset Distillation for Pre-Trained Self-Supervised Vision Models" (NeurIPS 2025):
the features are the bare base's, the classifier is drawn anew at every step, and the cosine between the two gradients
of its cross-entropy is what the pixels learn. Here the real gradient is of all training images at once, whose features
are computed once, without augmentation; the paper draws augmented batches, and composes images of a pyramid of scales.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medforge.base import BaseModule
from medforge.client.data.task import Task
from medforge.client.distill.real import ControlVariate
from medforge.client.recipe import DistillRecipe
from medforge.seeds import generator


def linear_gradient(features: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Return the gradient [C, d] of a linear classifier's mean cross-entropy on features [n, d] with labels [n]."""
    wanted = F.one_hot(labels.to(features.device), len(weights)).to(features)
    return ((features @ weights.T).softmax(dim=1) - wanted).T @ features / len(features)


class LinearGradientMatching:
    """Take steps on the pixels, each against a linear classifier drawn from the run's seed and the step's number."""

    def __init__(self, base: BaseModule, task: Task, recipe: DistillRecipe, seed: int) -> None:
        self._base = base
        self._features, self._labels = ControlVariate(base, task).embeddings, task.train.labels
        self._learned_labels = torch.arange(len(task.prompts)).repeat_interleave(recipe.ipc)
        self._classes = len(task.prompts)
        self._seed = seed

    def step(self, pixels: nn.Parameter, optimiser: torch.optim.Optimizer, number: int) -> float:
        """Update pixels, float32 [C·ipc, 3, S, S] ordered by class, by one step; return 1 − cosine before it."""
        chance, width = generator(self._seed, "distill", "step", number), self._features.shape[1]
        weights = torch.randn(self._classes, width, generator=chance).to(self._features) / width**0.5
        learned = self._base.embed(pixels.to(self._base.dtype))
        theirs = linear_gradient(self._features, self._labels, weights)
        ours = linear_gradient(learned, self._learned_labels, weights)
        loss = 1 - F.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return float(loss.detach())
