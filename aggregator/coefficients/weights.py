"""Scores of weight changes: the network itself is run on the distilled images, once for every candidate."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medforge.aggregator.arrived import Arrived
from medforge.aggregator.coefficients.objective import Scored, image_shares, task_scores
from medforge.aggregator.commit import TaskScore
from medforge.base_module import BaseModule, batches

BATCH = 64
Deltas = Mapping[str, Tensor]


class WeightScorer:
    """Score weight changes on distilled datasets, batch by batch; one dataset is in memory at a time."""

    def __init__(self, base: BaseModule, datasets: Sequence[Arrived]) -> None:
        self._base = base
        self._datasets = datasets

    def scores(self, deltas: Deltas) -> dict[str, TaskScore]:
        """Score base + deltas on every task: one forward pass over all distilled images."""
        return task_scores([self._scored(arrived, deltas) for arrived in self._datasets])

    def gradient(self, stacks: Deltas, coefficients: Sequence[float]) -> tuple[float, list[float]]:
        """Give the mean loss over tasks of Σ_k c_k ΔW_k, and its derivative by every c_k.

        ``stacks`` holds the K weight changes [K, out, in] of every site. Gradients are added up batch by batch, so that
        the graph of one batch is held at a time.
        """
        base, total = self._base, 0.0
        slopes = torch.zeros(len(coefficients), dtype=torch.float64)
        sizes = [len(arrived.branch().distilled) for arrived in self._datasets]
        shares = image_shares([arrived.task for arrived in self._datasets], sizes)
        for arrived, share in zip(self._datasets, shares, strict=True):
            dataset = arrived.branch().distilled
            for part in batches(len(dataset), BATCH):
                c = torch.tensor(coefficients, dtype=torch.float32, device=base.device, requires_grad=True)
                deltas = {site: torch.einsum("k,koi->oi", c, stack) for site, stack in stacks.items()}
                logits = base.logits(base.embed(dataset.images[part], deltas), dataset.prompts)
                scored = Scored("", logits.double().log_softmax(dim=1), dataset.labels[part])
                loss = share * scored.losses().sum()
                (slope,) = torch.autograd.grad(loss, c)
                total += float(loss.detach())
                slopes += slope.double().cpu()
        return total, slopes.tolist()

    def _scored(self, arrived: Arrived, deltas: Deltas) -> Scored:
        dataset = arrived.branch().distilled
        logits = self._base.logits(self._base.embed_all(dataset.images, deltas, BATCH), dataset.prompts)
        return Scored(arrived.task, logits.double().log_softmax(dim=1), dataset.labels)


def weigh(stacks: Deltas, coefficients: Sequence[float]) -> dict[str, Tensor]:
    """Add up weight changes: Σ_k c_k ΔW_k of every site, from stacks [K, out, in]."""
    return {
        site: torch.einsum("k,koi->oi", torch.tensor(coefficients, dtype=stack.dtype, device=stack.device), stack)
        for site, stack in stacks.items()
    }
