"""How many distilled images of one dataset are found in another, whatever was done to their look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.base_module import BaseModule
from medforge.layouts import layouts, turned_rows

SIDE = 8
MOST = 256
"""Images of a dataset that are remembered, evenly drawn."""
# rows of all datasets that are compared together, so few that they stay in a processor's cache
_AT_ONCE = 8 * MOST
_TINY = 1e-6


def picture_sketch(images: Tensor, base: BaseModule) -> Tensor:
    """Return the layouts, float16 [n, 192], of at most 256 distilled images [n, 3, S, S] in normalised values."""
    some = images[torch.linspace(0, len(images) - 1, min(len(images), MOST)).round().long()].float()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (base.mean, base.std))
    return layouts(255 * (some * std + mean), SIDE).half()


def found_shares(images: Tensor, others: Sequence[Tensor], alike: float) -> list[float]:
    """Return for every other dataset (layouts [m, 192]) the share of images [n, 192] found in it, or of it in these.

    The larger share counts: part of a dataset may be taken, or another's put into a larger one. An image is found where
    one of its eight mirrorings and quarter turns correlates with another by ``alike`` or more, once what all images of
    the other dataset have in common is taken out: heads look alike, as do images that grew from one seed's noise.
    """
    versions = turned_rows(images.float(), SIDE)
    return [share for block in _blocks(others) for share in _shares(versions, block, alike)]


def _blocks(others: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
    """Cut datasets into consecutive blocks, none of more rows than are compared together."""
    begin = rows = 0
    for place, one in enumerate(others):
        if place > begin and rows + len(one) > _AT_ONCE:
            yield others[begin:place]
            begin, rows = place, 0
        rows += len(one)
    if others:
        yield others[begin:]


def _shares(versions: Tensor, others: Sequence[Tensor], alike: float) -> list[float]:
    """Return the shares for a few datasets, of images in all eight versions [8, n, 192], with one matrix product."""
    sizes = torch.tensor([len(one) for one in others])
    owner = torch.arange(len(others)).repeat_interleave(sizes)
    together = torch.cat([*others]).float()
    centres = torch.zeros(len(others), together.shape[1]).index_add_(0, owner, together) / sizes.unsqueeze(1)
    rows = F.normalize(together - centres[owner], dim=1)
    # (v − c) · r / ‖v − c‖, of every version with every row r, whose dataset has the centre c
    flat = versions.flatten(0, 1)
    lengths = torch.cdist(flat, centres).clamp_min(_TINY)
    correlations = (flat @ rows.T).sub_((centres[owner] * rows).sum(dim=1)).div_(lengths[:, owner])
    best = correlations.unflatten(0, versions.shape[:2]).amax(dim=0)
    nearest = torch.full((best.shape[0], len(others)), -1.0)
    nearest.scatter_reduce_(1, owner.expand(best.shape[0], -1), best, "amax")
    here = (nearest >= alike).float().mean(dim=0)
    there = torch.zeros(len(others)).index_add_(0, owner, (best.amax(dim=0) >= alike).float()) / sizes
    return [float(share) for share in torch.maximum(here, there)]
