"""Coefficients that depend on the image: the nearest class mean of the distilled data chooses the plugin (ours)."""

from collections import defaultdict
from collections.abc import Sequence
from math import fsum

import torch
from torch import Tensor

from medforge.prototype_gate import PrototypeGate


def choices(gate: PrototypeGate, embeddings: Sequence[Tensor]) -> list[Tensor]:
    """Return the index of the chosen member for every image of every dataset."""
    return [gate.choose(rows) for rows in embeddings]


def chosen_shares(chosen: Sequence[Tensor], tasks: Sequence[str], members: int) -> list[float]:
    """Average over tasks the share of images that each member is chosen for; sums to 1."""
    pooled: dict[str, list[Tensor]] = defaultdict(list)
    for choice, task in zip(chosen, tasks, strict=True):
        pooled[task].append(choice)
    # tasks in a fixed order: a floating-point sum depends on it
    shares = [torch.bincount(torch.cat(pooled[t]), minlength=members).double() for t in sorted(pooled)]
    rows = [(counts / counts.sum()).tolist() for counts in shares]
    return [fsum(column) / len(rows) for column in zip(*rows, strict=True)]
