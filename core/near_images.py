"""Whether two classes share what to a reader is one picture, also after a noise that nobody sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.seeds import generator

# root mean square, of the range from black to white; honest distilled classes lie 12/255 apart at least (194 datasets)
TOLERANCE = 3 / 255
_SIDE = 8
_VALUES_AT_ONCE = 1 << 17
_DIRECTIONS, _NEIGHBOURS = 3, 4


def shared_picture(images: Tensor, labels: Tensor, std: Sequence[float]) -> tuple[int, int] | None:
    """Return two places of one picture under two labels, None where none is found.

    ``images`` [n, 3, S, S] are normalised by ``std``, ``labels`` int64 [n]. Small pictures of all are sorted along a
    few random directions, and each is compared with its neighbours there, as one that is nearly the same must be near
    in every direction: that costs n log n, finds a dataset in which pictures come twice, and may miss a single pair
    among very many.
    """
    scale = torch.tensor(std).view(3, 1, 1)
    small = _all_small(images, scale)
    for one, other in _neighbours(small, labels):
        if _distance(images[one].float() * scale, images[other].float() * scale) <= TOLERANCE:
            return one, other
    return None


def _slices(images: Tensor) -> tuple[Tensor, ...]:
    """Return images [n, 3, S, S] in parts that a processor's cache has room for, also as float32."""
    at_once = max(1, _VALUES_AT_ONCE // max(1, images[:1].numel()))
    parts: tuple[Tensor, ...] = images.split(at_once)
    return parts


def _all_small(images: Tensor, scale: Tensor) -> Tensor:
    """Return small pictures [n, values], written where room was made for them before.

    Kept one by one, each would lie behind the large ones that it was made of, and keep the memory of all of them.
    """
    means, first = _block_means(images.shape[-1]), 0
    small = torch.empty(*images.shape[:2], means.shape[1], means.shape[1])
    for part in _slices(images):
        torch.matmul(means.T, part.float() @ means, out=small[first : first + len(part)])
        first += len(part)
    return small.mul_(scale).flatten(1)


def _block_means(size: int) -> Tensor:
    """Return the matrix [size, side] that takes a row's values to their means in `side` blocks, as pooling does."""
    side = min(_SIDE, size)
    return F.adaptive_avg_pool1d(torch.eye(size).unsqueeze(0), side).squeeze(0)


def _neighbours(small: Tensor, labels: Tensor) -> Iterator[tuple[int, int]]:
    """Yield the pairs of two labels that lie close together; means of pixels are never further apart than pixels."""
    directions = torch.randn(small.shape[1], _DIRECTIONS, generator=generator(0, "shared pictures"))
    for places in (small @ directions).T.argsort(dim=1):
        for step in range(1, min(_NEIGHBOURS, len(labels) - 1) + 1):
            one, other = places[:-step], places[step:]
            apart = labels[one] != labels[other]
            one, other = one[apart], other[apart]
            near = (small[one] - small[other]).square().mean(dim=1).sqrt() <= TOLERANCE
            yield from zip(one[near].tolist(), other[near].tolist(), strict=True)


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).square().mean().sqrt())
