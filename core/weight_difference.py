"""How far two merged models' weights lie apart, site by site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot

from torch import Tensor

from medforge.base_module import BaseModule


@dataclass(frozen=True)
class Distance:
    """Hold the Frobenius norm of a difference, and of the weight that it is measured against."""

    moved: float
    size: float

    @property
    def relative(self) -> float:
        """The one by the other."""
        return self.moved / self.size if self.size else 0.0


def distances(base: BaseModule, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> dict[str, Distance]:
    """Return ‖W_after − W_before‖_F and ‖W_before‖_F at every site of a base, W being its weight and the change there.

    ``before`` and ``after`` are weight changes [out, in] by site; none at a site is no change.
    """
    found = {}
    for site in base.sites:
        weight = base.weight(site).double()
        old, new = (changes[site].double() if site in changes else weight * 0 for changes in (before, after))
        found[site] = Distance(float((new - old).norm()), float((weight + old).norm()))
    return found


def in_all(parts: Mapping[str, Distance]) -> Distance:
    """Return the distance over several sites together."""
    return Distance(
        hypot(*(part.moved for part in parts.values())),
        hypot(*(part.size for part in parts.values())),
    )
