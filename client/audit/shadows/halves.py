"""Random halves of a centre's images, which never divide a patient."""

from __future__ import annotations

import torch
from torch import Tensor

from medforge.errors import InvalidInput
from medforge.seeds import derive

_DRAWS = 100


def inside(labels: Tensor, groups: Tensor, shadow: int, seed: int) -> Tensor:
    """Return which images shadow 0, 1, … is trained on, bool [n]; `labels` and `groups` are int64 [n].

    Shadows come in pairs that share nothing and miss nothing, so that of any even number every image is inside half.
    All images of a group are on one side, and about half of each class's groups (by their first image) is; every class
    is on both sides. Raises InvalidInput where that cannot be.
    """
    chance = torch.Generator()
    for attempt in range(_DRAWS):
        chance.manual_seed(derive(seed, "audit", "half", shadow // 2, attempt))
        half = _half(labels, groups, chance)
        if not _lacking(labels, half):
            return half if shadow % 2 == 0 else ~half
    raise InvalidInput(
        f"the images cannot be halved for shadow plugins: class {_lacking(labels, half)[0] + 1} has too few images, or "
        "too few patients; audit without --shadows"
    )


def _half(labels: Tensor, groups: Tensor, chance: torch.Generator) -> Tensor:
    _, owners = torch.unique(groups, return_inverse=True)
    units = int(owners.max()) + 1
    firsts = torch.full((units,), len(labels)).scatter_reduce(0, owners, torch.arange(len(labels)), "amin")
    kinds, chosen = labels[firsts], torch.zeros(units, dtype=torch.bool)
    for label in labels.unique():
        own = torch.nonzero(kinds == label).flatten()
        # of an odd number either side is the larger as often
        count = (len(own) + int(torch.randint(2, (1,), generator=chance))) // 2
        chosen[own[torch.randperm(len(own), generator=chance)[:count]]] = True
    return chosen[owners]


def _lacking(labels: Tensor, half: Tensor) -> list[int]:
    """Return the classes that are on one side alone."""
    return [int(label) for label in labels.unique() if half[labels == label].all() or not half[labels == label].any()]
