"""How many distilled images of one dataset are found in another, whatever was done to their look."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.layouts import layouts

SIDE = 8
MOST = 256
"""Images of a dataset that are remembered, evenly drawn."""
_TINY = 1e-6
# rows as near as this to their mean are apart from it by rounding alone
_ROUNDING = 1e-5


class Spread(NamedTuple):
    """Say of each row x of datasets where it is from its dataset's mean c: 1/‖x − c‖ (0 where at c), c · (x − c)."""

    nearness: Tensor
    along: Tensor


def picture_sketch(images: Tensor, base: BaseModule) -> Tensor:
    """Return the layouts, float16 [n, 192], of at most 256 distilled images [n, 3, S, S] in normalised values."""
    some = images[torch.linspace(0, len(images) - 1, min(len(images), MOST)).round().long()].float()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (base.mean, base.std))
    return layouts(255 * (some * std + mean), SIDE).half()


def spread(rows: Tensor) -> Spread:
    """Return what `shares_in` asks of one dataset's layouts [n, 192], whatever it is compared with."""
    rows = rows.float()
    centre = rows.mean(dim=0)
    beyond = rows - centre
    lengths = beyond.norm(dim=1)
    return Spread(torch.where(lengths > _ROUNDING, lengths.reciprocal(), 0), beyond @ centre)


def shares_in(versions: Tensor, rows: Tensor, spread: Spread, sizes: Tensor, alike: float) -> Tensor:
    """Return `PictureBlocks.found_shares` for a few datasets, with one matrix product.

    ``versions`` [8, n, 192] are the images in all eight ways, ``rows`` the datasets' layouts one behind the other.
    """
    owner = torch.arange(len(sizes)).repeat_interleave(sizes)
    parts = sizes.clamp_min(1).unsqueeze(1)
    beyond = rows.float()
    centres = torch.zeros(len(sizes), rows.shape[1]).index_add_(0, owner, beyond) / parts
    beyond.sub_(centres[owner])
    # (v − c) · (x − c) / ‖v − c‖ ‖x − c‖, of every row x, whose dataset has the centre c, with every version v
    flat = versions.flatten(0, 1)
    nearness = torch.cdist(centres, flat).clamp_min(_TINY).reciprocal()
    products = (beyond @ flat.T).sub_(spread.along.unsqueeze(1)).mul_(nearness[owner])
    best = products.unflatten(1, versions.shape[:2]).amax(dim=1).mul_(spread.nearness.unsqueeze(1))
    nearest = torch.full((len(sizes), versions.shape[1]), -1.0)
    nearest.scatter_reduce_(0, owner.unsqueeze(1).expand_as(best), best, "amax")
    here = (nearest >= alike).float().mean(dim=1)
    there = torch.zeros(len(sizes)).index_add_(0, owner, (best.amax(dim=1) >= alike).float()) / parts.squeeze(1)
    return torch.maximum(here, there)
