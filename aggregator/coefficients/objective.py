"""The objectives of coefficient searches: means over tasks of a cross-entropy on labelled images, and a penalty."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

import torch
from torch import Tensor

from medforge.aggregator.coefficients.settings import Objective
from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.determinism import on_grid


@dataclass(frozen=True, eq=False)
class ScoredImages:
    """Hold a model's log-probabilities [n, C] on one labelled dataset of a task, beside its labels [n]."""

    task: str
    log_probabilities: Tensor
    labels: Tensor

    def losses(self) -> Tensor:
        """Return the cross-entropy of every image, float64 [n]."""
        rows = torch.arange(len(self.labels), device=self.log_probabilities.device)
        return -self.log_probabilities.double()[rows, self.labels.to(rows.device)]

    def hits(self) -> Tensor:
        """Return 1 where the most probable class is the label, else 0; float64 [n]."""
        return (self.log_probabilities.argmax(1) == self.labels.to(self.log_probabilities.device)).double()

    def softmaxed_again(self) -> "ScoredImages":
        """Take the class probabilities for logits, as the published scripts do: log softmax(p) in place of log p."""
        again = self.log_probabilities.exp().log_softmax(dim=1)
        return ScoredImages(self.task, on_grid(again), self.labels)


def image_shares(tasks: Sequence[str], sizes: Sequence[int]) -> list[float]:
    """Weigh one image of each dataset so that a weighted sum over images is a mean over tasks of means over images.

    Datasets of the same task are pooled. The shares of all images sum to 1.
    """
    totals: dict[str, int] = defaultdict(int)
    for task, size in zip(tasks, sizes, strict=True):
        totals[task] += size
    return [1 / (len(totals) * totals[task]) for task in tasks]


def task_scores(parts: Iterable[ScoredImages]) -> dict[str, TaskScore]:
    """Score every task: mean cross-entropy (nats) and accuracy over all images of its datasets.

    A mean is that of the exact sum. So where log-probabilities are on a grid, a score has no last bits that could move
    a search.
    """
    losses: dict[str, list[Tensor]] = defaultdict(list)
    hits: dict[str, list[Tensor]] = defaultdict(list)
    for part in parts:
        losses[part.task].append(part.losses())
        hits[part.task].append(part.hits())
    return {
        task: TaskScore(loss=_mean(torch.cat(losses[task])), acc=_mean(torch.cat(hits[task])))
        for task in sorted(losses)
    }


def _mean(values: Tensor) -> float:
    """Average numbers [n] whose sum is rounded once, so that it does not depend on how many are added at a time."""
    return fsum(values.tolist()) / len(values) if bool(values.isfinite().all()) else float(values.mean())


def mean_loss(scores: Mapping[str, TaskScore]) -> float:
    """Average the cross-entropy over tasks."""
    return sum(score.loss for score in scores.values()) / len(scores)


def search_loss(parts: Iterable[ScoredImages], objective: Objective) -> float:
    """Return what a search over weight changes minimises, without its penalty: the mean over tasks of a cross-entropy.

    ``"cross-entropy"`` is that of the class probabilities. ``"reference"`` applies cross-entropy to what is softmaxed
    already, as the scripts published with MedForge (2025) do; a 2-class task's value then lies in [.313, 1.313].
    """
    scored = parts if objective == "cross-entropy" else (part.softmaxed_again() for part in parts)
    return mean_loss(task_scores(scored))


def penalty(weights: Sequence[float], l1: float) -> float:
    """Return l1 · mean|w|, the regularisation of LoRAHub (Huang et al. 2023) and MedForge."""
    return l1 * sum(map(abs, weights)) / len(weights)
