"""How many distilled images of one dataset are found in another, whatever was done to their look."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.layouts import layouts, turned_rows

SIDE = 8
MOST = 256
"""Images of a dataset that are remembered, evenly drawn."""
UNTURNED = 30
"""Dimensions of what mirroring and turning leaves as it is: a row's 3 channels, the 10 kinds of place in 8 × 8."""
_TINY = 1e-6
# rows as near as this to their mean are apart from it by rounding alone
_ROUNDING = 1e-5
# float16 is within this of a product of two parts of length 1
_UNSURE = 2e-3


class Unturned(NamedTuple):
    """Say what mirroring and turning leaves as it is of a dataset's layouts, in 30 dimensions.

    ``directions`` (float16 [n, 30]) and ``lengths`` are those of b, that part of a row which was brought to length 1
    after the dataset's mean c was taken out; ``centre`` (float16 [1, 30]) is that part of c, and ``along`` its products
    with the directions.
    """

    directions: Tensor
    lengths: Tensor
    along: Tensor
    centre: Tensor


def picture_sketch(images: Tensor, base: BaseModule) -> Tensor:
    """Return the layouts, float16 [n, 192], of at most 256 distilled images [n, 3, S, S] in normalised values."""
    some = images[torch.linspace(0, len(images) - 1, min(len(images), MOST)).round().long()].float()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (base.mean, base.std))
    return layouts(255 * (some * std + mean), SIDE).half()


@cache
def _basis() -> Tensor:
    """Return orthonormal columns [192, 30] that span what all mirrorings and turns leave as it is."""
    means = turned_rows(torch.eye(3 * SIDE**2, dtype=torch.float64), SIDE).mean(dim=0)
    values, vectors = torch.linalg.eigh(means)
    basis: Tensor = vectors[:, values > 0.5].float()
    return basis


def unturned(rows: Tensor) -> Unturned:
    """Return what `shares_in` asks of one dataset's layouts [n, 192], whatever it is compared with."""
    rows = rows.float()
    mean = rows.mean(dim=0)
    parts = _of_length_one(rows - mean) @ _basis()
    lengths = parts.norm(dim=1)
    directions = (parts / lengths.clamp_min(_TINY).unsqueeze(1)).half()
    centre = (mean @ _basis()).half()
    return Unturned(directions, lengths, directions.float() @ centre.float(), centre.unsqueeze(0))


def shares_in(versions: Tensor, rows: Tensor, parts: Unturned, sizes: Tensor, alike: float) -> Tensor:
    """Return `PictureBlocks.found_shares` for a few datasets.

    ``versions`` [8, n, 192] are the images in all eight ways, ``rows`` the datasets' layouts one behind the other;
    ``parts`` has as many centres as there are datasets.
    """
    owner = torch.arange(len(sizes)).repeat_interleave(sizes)
    possible = _may_be_found(versions[0], parts, owner, alike)
    datasets = torch.zeros(len(sizes), dtype=torch.bool)
    datasets[owner[possible]] = True
    within = datasets[owner]
    shares = torch.zeros(len(sizes))
    if len(owner) and bool(within.any()):
        shares[datasets] = _shares_among(versions, rows[within], possible[within], sizes[datasets], alike)
    return shares


def _may_be_found(images: Tensor, parts: Unturned, owner: Tensor, alike: float) -> Tensor:
    """Return a mask of the rows that one of the images may correlate with by ``alike`` or more in one of eight ways.

    With w = v − c of a version v and t = w · r of a row r of length 1, t ≥ ``alike`` ‖w‖ means that w/t is within
    √(1/alike² − 1) of r. So are then their parts that no turning changes, a/t and b, and a has the same direction
    whatever t is: the sine of the angle between a and b is at most √(1/alike² − 1) / ‖b‖.
    """
    mine = images @ _basis()
    sines = (1 / alike**2 - 1) ** 0.5 / parts.lengths.clamp_min(_TINY)
    # below -1 every angle is possible
    least = torch.where(sines < 1, (1 - sines.square()).clamp_min(0).sqrt(), -2)
    products = (parts.directions.float() @ mine.T).sub_(parts.along.unsqueeze(1))
    lengths = torch.cdist(parts.centre.float(), mine)
    return (products >= (lengths[owner] * least.unsqueeze(1)).sub_(_UNSURE)).any(dim=1)


def _shares_among(versions: Tensor, rows: Tensor, possible: Tensor, sizes: Tensor, alike: float) -> Tensor:
    """Return the shares where only ``possible`` rows may be found, with one matrix product."""
    owner = torch.arange(len(sizes)).repeat_interleave(sizes)
    wide = rows.float()
    centres = torch.zeros(len(sizes), rows.shape[1]).index_add_(0, owner, wide) / sizes.unsqueeze(1)
    owner = owner[possible]
    own = centres[owner]
    directions = _of_length_one(wide[possible] - own)
    # (v − c) · r / ‖v − c‖, of every row r, whose dataset has the centre c, with every version v
    flat = versions.flatten(0, 1)
    nearness = torch.cdist(centres, flat).clamp_min(_TINY).reciprocal()
    along = (own * directions).sum(dim=1, keepdim=True)
    best = (directions @ flat.T).sub_(along).mul_(nearness[owner]).unflatten(1, versions.shape[:2]).amax(dim=1)
    nearest = torch.full((len(sizes), versions.shape[1]), -1.0)
    nearest.scatter_reduce_(0, owner.unsqueeze(1).expand_as(best), best, "amax")
    here = (nearest >= alike).float().mean(dim=1)
    there = torch.zeros(len(sizes)).index_add_(0, owner, (best.amax(dim=1) >= alike).float()) / sizes
    return torch.maximum(here, there)


def _of_length_one(beyond: Tensor) -> Tensor:
    """Divide rows by their lengths; those that are apart from their mean by rounding alone become 0."""
    lengths = beyond.norm(dim=1, keepdim=True)
    return torch.where(lengths > _ROUNDING, beyond / lengths.clamp_min(_ROUNDING), 0)
