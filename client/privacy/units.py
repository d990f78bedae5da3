"""Whom differential privacy protects: a patient with all images where groups are known, else a single image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.client.data.task import Task
from medforge.client.privacy.secret import NoiseSecret
from medforge.privacy_facts import PrivateUnit


def unit_of(task: Task) -> PrivateUnit:
    """Return what one unit of a task's training images is.

    Look-alikes are no group here: which images look alike depends on the others, so that one more could join two.
    """
    if task.train.groups is None or task.split == "look-alikes":
        return "image"
    if task.score_by == "slide":
        return "slide"
    return "patient" if task.split == "patient" else "group"


@dataclass(frozen=True, eq=False)
class Units:
    """Hold the positions of each unit's images, int64, and the most of them that are looked at in one place."""

    members: tuple[Tensor, ...]
    most: int

    @classmethod
    def of(cls, task: Task, most: int) -> Units:
        """Gather the units of a task's training images, in the order of their first images."""
        split = task.train
        if unit_of(task) == "image" or split.groups is None:
            return cls(tuple(torch.arange(len(split)).split(1)), most)
        positions: dict[str, list[int]] = {}
        for position, group in enumerate(split.groups):
            positions.setdefault(group, []).append(position)
        return cls(tuple(map(torch.tensor, positions.values())), most)

    def __len__(self) -> int:
        return len(self.members)

    def draw(self, rate: float, secret: NoiseSecret, *place: str | int) -> tuple[Tensor, ...]:
        """Draw each unit with a probability (Poisson sampling); return images of those drawn, at most `most` each."""
        chosen = secret.uniform(len(self), *place, "units") <= rate
        chance = secret.generator(*place, "images")
        drawn = (self.members[number] for number in torch.nonzero(chosen).flatten().tolist())
        return tuple(
            one if len(one) <= self.most else one[torch.randperm(len(one), generator=chance)[: self.most]]
            for one in drawn
        )

    def spread_out(self) -> tuple[Tensor, ...]:
        """Return images of every unit, of a larger one `most` that are spread evenly: by itself, whoever else is there.

        What one unit contributes must not depend on the others, as what a common generator drew would.
        """
        return tuple(
            one if len(one) <= self.most else one[torch.linspace(0, len(one) - 1, self.most).round().long()]
            for one in self.members
        )


def of_units(rows: Tensor, units: tuple[Tensor, ...]) -> Tensor:
    """Average rows [m, …] over the images of each unit, which follow one another → [units, …]; 0 × … for no unit."""
    sizes = torch.tensor([len(one) for one in units], dtype=torch.int64)
    owners = torch.repeat_interleave(torch.arange(len(units)), sizes)
    sums = torch.zeros(len(units), *rows.shape[1:], dtype=rows.dtype).index_add_(0, owners, rows)
    return sums / sizes.to(rows.dtype).reshape(-1, *([1] * (rows.ndim - 1)))


def class_shares(labels: Tensor, classes: int, units: tuple[Tensor, ...]) -> Tensor:
    """Return the share of each unit's images that each class has, float64 [units, C]; each row sums to 1."""
    return of_units(F.one_hot(labels, classes).double(), units)
