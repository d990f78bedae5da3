"""The image tower in PyTorch, run once for images of several networks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medforge.base_module import BaseModule

_PROBED = 3
"""No image is cut into so few tokens, so that a first dimension of this length is that of the images."""


class Group(NamedTuple):
    """Hold how many consecutive images a network is for, and its weights [out, in] by site (none: the base's own)."""

    size: int
    weights: Mapping[str, Tensor]


class TorchTower:
    """Embed images by the base's tower, whose sites take for each image the weights of its network.

    Everything between the sites runs once for all images, so that many networks cost about as much as one. A tower
    whose sites do not see the images one after another (windows, attentions that take the weights out of a layer) runs
    once a network.
    """

    def __init__(self, base: BaseModule) -> None:
        self._base = base
        self._free: list[_MixedTower] = []

    def embed(self, images: Tensor, groups: Sequence[Group]) -> Tensor:
        """Return embeddings [n, d], float32, of normalised images in the order of their groups; no gradients."""
        if not any(group.weights for group in groups):
            return self._base.embed_all(images)
        if not self._can_mix and len(groups) > 1:
            parts = images.split([group.size for group in groups])
            return torch.cat([self.embed(part, [group]) for part, group in zip(parts, groups, strict=True)])

        def embed(part: slice) -> Tensor:
            with torch.inference_mode(), self._own() as tower:
                found: Tensor = tower(images[part].to(self._base.device, self._base.dtype), _within(groups, part))
                return found.float()

        return torch.cat(self._base.in_chunks(embed, len(images)))

    @cached_property
    def _can_mix(self) -> bool:
        base = self._base
        images = torch.zeros(_PROBED, 3, base.image_size, base.image_size)
        unchanged = {base.sites[0]: torch.zeros(base.site_shape(base.sites[0]))}
        seen = base.site_inputs(images, unchanged, base.sites)
        return len(seen) == len(base.sites) and all(len(one) == _PROBED for one in seen.values())

    @contextmanager
    def _own(self) -> Iterator[_MixedTower]:
        """Lend a tower that nobody else uses: its groups are set while it runs."""
        try:
            tower = self._free.pop()
        except IndexError:
            tower = _MixedTower(self._base)
        try:
            yield tower
        finally:
            self._free.append(tower)


class _Groups:
    """Hold the groups of the images that a tower runs on."""

    now: Sequence[Group] = ()


class _MixedTower(nn.Module):
    """Copy the base's tower, sharing its tensors, with sites that look up their weights."""

    def __init__(self, base: BaseModule) -> None:
        super().__init__()
        shared = (*base.visual.parameters(), *base.visual.buffers())
        self._tower = copy.deepcopy(base.visual, {id(tensor): tensor for tensor in shared})
        self._groups = _Groups()
        for site in base.sites:
            layer = self._tower.get_submodule(site)
            assert isinstance(layer, nn.Linear)
            above, _, name = site.rpartition(".")
            setattr(self._tower.get_submodule(above), name, _Site(layer, site, self._groups))

    def forward(self, images: Tensor, groups: Sequence[Group]) -> Tensor:
        """Embed normalised images [n, 3, S, S] in the order of their groups."""
        self._groups.now = groups
        embedded: Tensor = self._tower(images)
        return embedded


class _Site(nn.Module):
    """Compute a Linear layer, each group's images with the weights of its network."""

    def __init__(self, layer: nn.Linear, site: str, groups: _Groups) -> None:
        super().__init__()
        self._own = layer.weight
        self.bias = layer.bias
        self._site = site
        self._groups = groups

    @property
    def weight(self) -> Tensor:
        """The weight [out, in] of the only network that there is."""
        (group,) = self._groups.now
        return group.weights.get(self._site, self._own)

    def forward(self, x: Tensor) -> Tensor:
        """Map [n, …, in] to [n, …, out]."""
        groups = self._groups.now
        if len(groups) == 1:
            return F.linear(x, self.weight, self.bias)
        parts = x.split([group.size for group in groups])
        weights = [group.weights.get(self._site, self._own) for group in groups]
        return torch.cat([F.linear(part, one, self.bias) for part, one in zip(parts, weights, strict=True)])


def _within(groups: Sequence[Group], part: slice) -> list[Group]:
    """Return the groups of the images at consecutive places."""
    found, start = [], 0
    for group in groups:
        size = min(start + group.size, part.stop) - max(start, part.start)
        if size > 0:
            found.append(Group(size, group.weights))
        start += group.size
    return found
