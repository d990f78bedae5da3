"""Which arrivals are alike to one that came, and the sentence that says so."""

from __future__ import annotations

from typing import NamedTuple

from medforge.aggregator.forge.policy import OriginPolicy
from medforge.aggregator.ledger.records import Origin
from medforge.aggregator.main_branch.origin.weights import WeightLikeness


class Measured(NamedTuple):
    """Hold what was measured of an arrival beside an earlier one: the changes of the weights, and images found."""

    weights: WeightLikeness
    images: float


class Alike(NamedTuple):
    """Say how an arrival is alike to ``other``: by which files, and by what was measured."""

    other: Origin
    same_plugin: bool
    same_images: bool
    weights: WeightLikeness | None
    images: float | None

    @property
    def how(self) -> str:
        """What is alike, in plain English."""
        said = []
        if self.same_plugin:
            said.append("their plugins are the same file")
        elif self.weights is not None:
            said.append(
                f"their plugins change the weights alike (cosine {self.weights.cosine:.2f}, "
                f"{self.weights.size:.2f} times the size, alike where {self.weights.share:.0%} of one lies)"
            )
        if self.same_images:
            said.append("their distilled images are the same file")
        elif self.images is not None:
            said.append(f"{self.images:.0%} of one's distilled images are found in the other's")
        return ", and ".join(said)


def alike(arriving: Origin, other: Origin, measured: Measured, policy: OriginPolicy) -> Alike | None:
    """Say how an arrival is alike to one by another contributor, None where it is not."""
    plugin, images = arriving.plugin == other.plugin, arriving.distilled == other.distilled
    weights = measured.weights if not plugin and measured.weights.share >= policy.share else None
    found = measured.images if not images and measured.images >= policy.share else None
    if not plugin and not images and weights is None and found is None:
        return None
    return Alike(other, plugin, images, weights, found)


def reason(arriving: Origin, found: Alike) -> str:
    """Return the sentence with which an arrival is held for being alike to another: it names both, and blames none."""
    other = found.other
    return (
        f"arrival {arriving.arrival} ({arriving.contributor}) and arrival {other.arrival} ({other.contributor}) are "
        f"alike: {found.how}; which came first does not say which is the copy, so the forge's maintainer accepts this "
        "one as of one origin with the other, or rejects it"
    )
