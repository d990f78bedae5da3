"""What a linear discriminant is made of, the same for learned images as for all real ones.

A forge tells tasks and classes apart by class means and one covariance within classes, fitted to the learned images
where a site sends no statistics. Means that agree in the plain distance say little of it: that distance is ruled by the
directions in which all images vary, and a mean that lies off the real images' subspace shifts a class's score for good.
So here means are as far apart as the discriminant finds them, the covariance is matched beside them, and so are the
probabilities that the discriminant of the learned images gives the real ones (as in kernel inducing points, Nguyen et
al., ICLR 2021, with the closed-form classifier that is used later). The real side is known for all training images and
costs nothing more at a step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from medforge.client.recipe import DistillRecipe
from medforge.mahalanobis import inverse_root
from medforge.task_spread import DISTILLED_SHRINKAGE


class Moments(NamedTuple):
    """Hold class means [C, d] and the covariance within classes [d, d] of embeddings; float64 on the CPU."""

    means: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, embeddings: Tensor, labels: Tensor, classes: int) -> Moments:
        """Average embeddings [n, d] by labels [n]; every class has one. Differentiable."""
        members = torch.nn.functional.one_hot(labels, classes).to(embeddings)
        means = members.T @ embeddings / members.sum(dim=0).unsqueeze(1)
        residuals = embeddings - members @ means
        return cls(means, residuals.T @ residuals / len(embeddings))

    def log_odds(self, embeddings: Tensor) -> Tensor:
        """Return the linear discriminant's scores of embeddings [n, d], [n, C]: log P(class | x) up to a constant."""
        root = inverse_root(self.covariance, DISTILLED_SHRINKAGE)
        means = self.means @ root
        return embeddings @ root @ means.T - means.square().sum(dim=1) / 2


class DiscriminantMatching:
    """Measure how far learned images are from all real ones, in one extractor's embeddings."""

    def __init__(self, embeddings: Tensor, labels: Tensor, classes: int, recipe: DistillRecipe) -> None:
        self._classes, self._recipe = classes, recipe
        self._embeddings = _exact(embeddings)
        self._real = Moments.of(self._embeddings, labels, classes)
        self._root = inverse_root(self._real.covariance, DISTILLED_SHRINKAGE)
        self._probabilities = self._real.log_odds(self._embeddings).softmax(dim=1)

    def distance(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the weighted sum of three distances of learned embeddings [n, d] with labels [n]."""
        learned = Moments.of(_exact(embeddings), labels, self._classes)
        recipe = self._recipe
        means = self.of_means(self._real.means, learned.means)
        return (
            means + recipe.covariance_weight * self.of_covariance(learned) + recipe.odds_weight * self.of_odds(learned)
        )

    def of_means(self, real: Tensor, learned: Tensor) -> Tensor:
        """Return Σ_c ‖(learned_c − real_c)·L‖² of means [C, d]: Mahalanobis by all real images' covariance."""
        return ((_exact(learned) - _exact(real)) @ self._root).square().sum()

    def of_covariance(self, learned: Moments) -> Tensor:
        """Return ‖Lᵀ(learned − real)L‖² of the covariances: in the metric in which the real one is nearly white."""
        return (self._root.T @ (learned.covariance - self._real.covariance) @ self._root).square().sum()

    def of_odds(self, learned: Moments) -> Tensor:
        """Return the mean divergence KL(real ‖ learned) of the two discriminants' probabilities of the real images."""
        logs = learned.log_odds(self._embeddings).log_softmax(dim=1)
        return torch.nn.functional.kl_div(logs, self._probabilities, reduction="batchmean")


def _exact(embeddings: Tensor) -> Tensor:
    # few numbers, badly conditioned; the CPU has float64 whatever the device
    return embeddings.cpu().double()
