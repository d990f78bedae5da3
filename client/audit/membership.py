"""Membership inference: can somebody who holds a branch tell the centre's training images from others?

Members are the training images, others the validation images. Every attack is a score that should be higher for
members; it is a lower bound of what a stronger attacker can do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from medforge.client.audit.distances import directions, nearest
from medforge.client.audit.gallery import Gallery
from medforge.client.audit.record import AttackResult, Target
from medforge.client.audit.roc import Area, Curve, Groups, Scores, area, curve, placements, rate_at
from medforge.layouts import layouts, turned_rows

FEWEST_FOR_RARE = 1000
"""With fewer non-members a false positive rate of .1 % cannot be told from 0."""


@dataclass(frozen=True, eq=False)
class Attack:
    """Hold one attack's scores of members and others, and what they amount to; `shadows` is how many it stands on."""

    name: str
    target: Target
    members: Scores
    others: Scores
    groups: Groups
    shadows: int | None = None

    @cached_property
    def area(self) -> Area:
        """Return the AUC and its 95 % interval."""
        return area(self.members, self.others, self.groups)

    @cached_property
    def curve(self) -> Curve:
        """Return the ROC curve."""
        return curve(self.members, self.others)

    @property
    def rate(self) -> float:
        """Return the true positive rate at 1 % false positives."""
        return rate_at(self.curve)

    @property
    def result(self) -> AttackResult:
        """Return what a record keeps of it."""
        area = self.area
        return AttackResult(
            name=self.name,
            target=self.target,
            auc=area.value,
            low=area.low,
            high=area.high,
            tpr=self.rate,
            rare=rate_at(self.curve, 0.001) if len(self.others) >= FEWEST_FOR_RARE else None,
            shadows=self.shadows,
        )


def attacks(gallery: Gallery, pixels: Tensor, embeddings: Tensor) -> list[Attack]:
    """Attack distilled images, by pixels (uint8 [k, 3, S, S]) and embeddings [k, d], and the plugin, by its losses.

    - distilled data: minus the distance to the nearest distilled image, by layout and by features;
    - plugin: minus its loss (Yeom et al., CSF 2018); the same within each class (Song and Mittal, USENIX Security
      2021); and how much it lowered the base's loss (difficulty calibration; Watson et al., ICLR 2022).
    """
    learned = turned_rows(layouts(pixels)).flatten(0, 1)
    scores: list[tuple[str, Target, Tensor]] = [
        ("nearness in layout", "distilled", -nearest(gallery.layouts, learned).distance),
        (
            "nearness in features",
            "distilled",
            -nearest(gallery.features, directions(embeddings, gallery.centre)).distance,
        ),
        ("loss", "plugin", -gallery.plugin_loss),
        ("loss within the class", "plugin", -within_class(gallery.plugin_loss, gallery.labels)),
        ("loss below the base's", "plugin", gallery.base_loss - gallery.plugin_loss),
    ]
    groups, first = gallery.groups.numpy(), gallery.members
    return [
        Attack(name, target, values[:first].double().numpy(), values[first:].double().numpy(), groups)
        for name, target, values in scores
    ]


def within_class(values: Tensor, labels: Tensor) -> Tensor:
    """Return each value's place among those of its label, from 0 to 1, float64; [n] and [n] → [n]."""
    places = torch.empty(len(values), dtype=torch.float64)
    for label in labels.unique():
        own = values[labels == label].double().numpy()
        places[labels == label] = torch.from_numpy(placements(own, own))
    return places
