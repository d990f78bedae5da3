"""Images that are nobody's, drawn on the spot: by them bounds are chosen that no patient's image may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from medforge.base import BaseModule
from medforge.client.data.catalogue import open_task
from medforge.client.data.pixels.store import PixelStore

_SOURCES = (
    "tissue:breast,train=16,validation=2,test=2",
    "tissue:colon,train=16,validation=3,test=3",
    "findings:pneumonia,train=16,validation=4,test=4",
    "findings:tuberculosis,train=16,validation=4,test=4",
)


@dataclass(frozen=True, eq=False)
class Ball:
    """Bound embeddings: those further than `radius` from `centre` [d] are brought to that distance."""

    centre: Tensor
    radius: float

    def inside(self, embeddings: Tensor) -> Tensor:
        """Return embeddings [n, d] about the centre in units of the radius, at most 1 long; float64 on the CPU."""
        rows: Tensor = (embeddings.cpu().double() - self.centre) / self.radius
        return within(rows)


class Reference:
    """Embed drawn images by a base module, under any weight change."""

    def __init__(self, base: BaseModule) -> None:
        self._base = base
        drawn = [open_task(source, base.preprocessing, 0).train.images[:] for source in _SOURCES]
        self.images = PixelStore.of_tensor(torch.cat(drawn))

    def ball(self, deltas: Mapping[str, Tensor] | None = None) -> Ball:
        """Return the mean of the drawn images' embeddings and the distance of the furthest one."""
        rows = self._base.embed_all(self._base.normalise(self.images[:]), deltas).cpu().double()
        centre = rows.mean(dim=0)
        return Ball(centre, float((rows - centre).norm(dim=1).max()))


def within(rows: Tensor) -> Tensor:
    """Return rows [n, d] shortened to a length of at most 1."""
    shortened: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp_min(1)
    return shortened
