"""Sums over a task's embeddings, class by class, and the Gaussians that they describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ClassMoments:
    """Hold counts [C] (int64), sums [C, d] and sums of outer products [C, d, d] of embeddings, float64.

    Moments of several centres add up. A branch carries less (see `medforge.class_statistics`): one covariance for all
    classes, which is what LDA and FedCGS need; naive Bayes, QDA and FisherMix ask for one a class.
    """

    counts: Tensor
    sums: Tensor
    products: Tensor

    @classmethod
    def of(cls, embeddings: Tensor, labels: Tensor, classes: int) -> ClassMoments:
        """Sum up embeddings [n, d] by their labels [n] (int64) in 0 … classes − 1."""
        rows = embeddings.double().cpu()
        width = rows.shape[1]
        sums, products = torch.zeros(classes, width).double(), torch.zeros(classes, width, width).double()
        for label in labels.unique().tolist():
            of_class = rows[labels == label]
            sums[label], products[label] = of_class.sum(dim=0), of_class.T @ of_class
        return cls(torch.bincount(labels, minlength=classes), sums, products)

    def __add__(self, other: ClassMoments) -> ClassMoments:
        """Add another centre's moments of the same classes."""
        return ClassMoments(self.counts + other.counts, self.sums + other.sums, self.products + other.products)

    def placed(self, places: Sequence[int], classes: int) -> ClassMoments:
        """Return the moments as those of a task of more classes, of which these are the ones at ``places``."""
        index = torch.tensor(places)

        def spread(values: Tensor) -> Tensor:
            return torch.zeros(classes, *values.shape[1:], dtype=values.dtype).index_add_(0, index, values)

        return ClassMoments(spread(self.counts), spread(self.sums), spread(self.products))


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Describe the classes of one task, or of several: priors [C], means [C, d], covariances [C, d, d]; float64.

    ``within`` [d, d] is the covariance that images have within their class, ``total`` [d, d] around the mean of all.
    """

    priors: Tensor
    means: Tensor
    covariances: Tensor
    within: Tensor
    total: Tensor

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.priors)


def gaussians(tasks: Sequence[ClassMoments]) -> Gaussians:
    """Describe the classes of tasks side by side, every task with the same weight, whatever its images number.

    Maximum likelihood: covariances are divided by counts. A class without an image has prior 0, and a covariance of
    zeros.
    """
    parts = [_of_one(task) for task in tasks]
    priors = torch.cat([part.priors for part in parts]) / len(parts)
    means = torch.cat([part.means for part in parts])
    within = torch.stack([part.within for part in parts]).mean(dim=0)
    centred = means - priors @ means
    total = within + (centred * priors.unsqueeze(1)).T @ centred
    return Gaussians(priors, means, torch.cat([part.covariances for part in parts]), within, total)


def _of_one(task: ClassMoments) -> Gaussians:
    counts = task.counts.double()
    priors = counts / counts.sum()
    floor = counts.clamp_min(1)
    means = task.sums / floor.unsqueeze(1)
    outer = means.unsqueeze(2) * means.unsqueeze(1)
    covariances = torch.where(counts.view(-1, 1, 1) > 0, task.products / floor.view(-1, 1, 1) - outer, 0.0)
    within = torch.einsum("c,cij->ij", priors, covariances)
    centred = means - priors @ means
    return Gaussians(priors, means, covariances, within, within + (centred * priors.unsqueeze(1)).T @ centred)
