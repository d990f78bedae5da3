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
    """Attack distilled images, by pixels (uint8 [k, 3, S, S]) and embeddings [k, d], and the plugin, by its losses."""
    return [*attacks_on_images(gallery, pixels, embeddings), *attacks_on_plugin(gallery)]


def attacks_on_images(gallery: Gallery, pixels: Tensor, embeddings: Tensor) -> list[Attack]:
    """Attack by minus the distance to the nearest distilled image, by layout and by features; arguments as above."""
    learned = turned_rows(layouts(pixels)).flatten(0, 1)
    features = directions(embeddings, gallery.centre)
    scores = {
        "nearness in layout": -nearest(gallery.layouts, learned).distance,
        "nearness in features": -nearest(gallery.features, features).distance,
    }
    return [_attack(name, "distilled", values, gallery) for name, values in scores.items()]


def attacks_on_plugin(gallery: Gallery) -> list[Attack]:
    """Attack by losses.

    Minus the plugin's loss (Yeom et al., CSF 2018); the same within each class (Song and Mittal, USENIX Security 2021);
    and how much it lowered the base's loss (difficulty calibration; Watson et al., ICLR 2022).
    """
    scores = {
        "loss": -gallery.plugin_loss,
        "loss within the class": -within_class(gallery.plugin_loss, gallery.labels),
        "loss below the base's": gallery.base_loss - gallery.plugin_loss,
    }
    return [_attack(name, "plugin", values, gallery) for name, values in scores.items()]


def _attack(name: str, target: Target, scores: Tensor, gallery: Gallery) -> Attack:
    own, others = scores[: gallery.members], scores[gallery.members :]
    return Attack(name, target, own.double().numpy(), others.double().numpy(), gallery.groups.numpy())


def within_class(values: Tensor, labels: Tensor) -> Tensor:
    """Return each value's place among those of its label, from 0 to 1, float64; [n] and [n] → [n]."""
    places = torch.empty(len(values), dtype=torch.float64)
    for label in labels.unique():
        own = values[labels == label].double().numpy()
        places[labels == label] = torch.from_numpy(placements(own, own))
    return places
