"""Near copies: how close each distilled image comes to a real one, beside how close real images come to each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medforge.client.audit.distances import Nearest, directions, nearest
from medforge.client.audit.gallery import Gallery
from medforge.layouts import layouts, turned_rows
from medforge.seeds import generator

REFERENCES = 2000
IDENTICAL = 0.05
"""Rows this close (a correlation above .998) are one image, however close real images lie to each other."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Hold the distances of distilled images to real ones in one measure.

    `found` is each distilled image's nearest real image, `reference` [r] the distances of real images to their nearest
    other real image of another group (leave one group out), from at most 2,000 of them.
    """

    found: Nearest
    reference: Tensor

    @property
    def typical(self) -> float:
        """Return the median distance of a real image to its nearest other."""
        return float(self.reference.median())

    @property
    def relative(self) -> Tensor:
        """Return each distilled image's distance over the typical one [n]: 0 for a copy, about 1 for a new image."""
        return self.found.distance / max(self.typical, IDENTICAL)

    @property
    def quantiles(self) -> Tensor:
        """Return the share of real images that lie as close to another real image, or closer [n]."""
        below = torch.searchsorted(self.reference.sort().values, self.found.distance, right=True)
        return below / len(self.reference)


def by_layout(gallery: Gallery, pixels: Tensor, seed: int) -> Comparison:
    """Compare distilled images, uint8 [n, 3, S, S], mirrored and turned in all eight ways, with real ones."""
    some = _sample(gallery, seed)
    return Comparison(
        nearest(turned_rows(layouts(pixels)), gallery.layouts),
        nearest(turned_rows(gallery.layouts[some]), gallery.layouts, gallery.groups[some], gallery.groups).distance,
    )


def by_features(gallery: Gallery, embeddings: Tensor, seed: int) -> Comparison:
    """Compare distilled images, by the base's embeddings [n, d], with real ones."""
    some = _sample(gallery, seed)
    return Comparison(
        nearest(directions(embeddings, gallery.centre), gallery.features),
        nearest(gallery.features[some], gallery.features, gallery.groups[some], gallery.groups).distance,
    )


def _sample(gallery: Gallery, seed: int) -> Tensor:
    return torch.randperm(len(gallery), generator=generator(seed, "audit", "references"))[:REFERENCES]
