"""Scores of weight changes: the network itself is run on the labelled images, once for every candidate."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from medforge.aggregator.coefficients.labelled_images import LabelledImages
from medforge.aggregator.coefficients.objective import ScoredImages, image_shares, search_loss, task_scores
from medforge.aggregator.coefficients.settings import Objective
from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.base_module import BaseModule

Deltas = Mapping[str, Tensor]


class WeightScorer:
    """Score weight changes on labelled images.

    ``sources`` read one dataset each, whenever it is needed; one is held at a time.
    """

    def __init__(self, base: BaseModule, sources: Sequence[Callable[[], LabelledImages]]) -> None:
        self._base = base
        self._sources = sources

    def scores(self, deltas: Deltas) -> dict[str, TaskScore]:
        """Score base + deltas on every task: one forward pass over all images."""
        return task_scores(self._scored(deltas))

    def loss(self, deltas: Deltas, objective: Objective) -> float:
        """Return what a search minimises, without its penalty: one forward pass over all images."""
        return search_loss(self._scored(deltas), objective)

    def gradient(self, stacks: Deltas, coefficients: Tensor) -> tuple[float, Tensor]:
        """Return the mean loss over tasks of Σ_k c_k ΔW_k, and its derivative by every coefficient.

        ``stacks`` holds the K weight changes [K, out, in] of every site, ``coefficients`` is what `weigh` takes, in
        float64. Gradients are added up chunk by chunk, in their order, so that every thread holds the graph of one
        chunk at a time.
        """
        total, slopes = 0.0, torch.zeros_like(coefficients)
        for read, share in zip(self._sources, self._shares, strict=True):
            dataset = read()
            of_chunk = partial(self._slope, dataset, stacks, coefficients)
            for loss, slope in self._base.in_chunks(of_chunk, len(dataset)):
                total += share * loss
                slopes += share * slope
        return total, slopes

    def _slope(
        self, dataset: LabelledImages, stacks: Deltas, coefficients: Tensor, part: slice
    ) -> tuple[float, Tensor]:
        """Return the sum of the losses of some images, and its derivative by every coefficient."""
        base = self._base
        c = coefficients.clone().requires_grad_()
        logits = base.steadily(
            lambda: base.logits(base.embed(dataset.images[part], weigh(stacks, c.to(base.device))), dataset.prompts)
        )
        scored = ScoredImages("", logits.double().log_softmax(dim=1), dataset.labels[part])
        loss = scored.losses().sum()
        (slope,) = torch.autograd.grad(loss, c)
        return float(loss.detach()), slope

    @cached_property
    def _shares(self) -> list[float]:
        sizes = [(dataset.task, len(dataset)) for dataset in (read() for read in self._sources)]
        return image_shares([task for task, _ in sizes], [size for _, size in sizes])

    def _scored(self, deltas: Deltas) -> Iterator[ScoredImages]:
        for read in self._sources:
            dataset = read()
            outputs = self._base.log_probabilities(dataset.images, dataset.prompts, deltas)
            yield ScoredImages(dataset.task, outputs, dataset.labels)


def weigh(stacks: Deltas, coefficients: Tensor) -> dict[str, Tensor]:
    """Add up weight changes: Σ_k c_k ΔW_k of every site, from stacks [K, out, in], differentiable in both.

    Coefficients are one a plugin [K], or one a plugin and site [K, sites] in the order of ``stacks``.
    """
    columns = coefficients.unbind(dim=1) if coefficients.ndim == 2 else [coefficients] * len(stacks)
    return {
        site: torch.einsum("k,koi->oi", column.to(stack), stack)
        for column, (site, stack) in zip(columns, stacks.items(), strict=True)
    }
