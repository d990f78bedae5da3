"""Images to embeddings, while a model is used: by the base alone, or each by the network chosen for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from medforge.base_module import BaseModule, batches
from medforge.merged_weights import MergedWeights, Network
from medforge.torch_tower import Group, TorchTower


class Tower(Protocol):
    """Run the image tower; see `TorchTower`."""

    def embed(self, images: Tensor, groups: Sequence[Group]) -> Tensor:
        """Return embeddings [n, d], float32, of normalised images in the order of their groups."""


class Encoder:
    """Embed images by a tower, with networks whose merged weights are kept within ``memory`` bytes.

    Only networks that images are for are merged, and each once a batch at most. In one pass of the tower are as many
    networks as the memory has room for, one at least.
    """

    def __init__(self, base: BaseModule, memory: int = 0, tower: Tower | None = None) -> None:
        self.base = base
        self.merged = MergedWeights(base, memory)
        self._tower = tower or TorchTower(base)

    def embed(self, images: Tensor) -> Tensor:
        """Return the base's embeddings [n, d] of normalised images, float32."""
        return self._tower.embed(images, [Group(len(images), {})])

    def embed_each(self, images: Tensor, networks: Sequence[Network], chosen: Tensor) -> Tensor:
        """Return embeddings [n, d], float32, of normalised images, each by the network of its number in chosen [n]."""
        order = chosen.argsort(stable=True)
        numbers, sizes = chosen.unique(return_counts=True)
        found = torch.empty(len(images), self.base.embed_dim, device=self.base.device)
        start = 0
        for part in batches(len(numbers), self.merged.at_once):
            groups = [
                Group(size, self.merged.of(networks[number]))
                for number, size in zip(numbers[part].tolist(), sizes[part].tolist(), strict=True)
            ]
            rows = order[start : start + sum(group.size for group in groups)]
            found[rows.to(found.device)] = self._tower.embed(images[rows.to(images.device)], groups)
            start += len(rows)
        return found
