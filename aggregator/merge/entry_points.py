"""Merge methods that installed packages give, found by their entry points."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from itertools import groupby

from medforge.aggregator.merge.listing import Listing

GROUP = "medforge.merge_methods"


@dataclass(frozen=True)
class BrokenOffer:
    """Say why a method that a package offers cannot be used."""

    reason: str


@dataclass(frozen=True)
class Offer:
    """Hold a name under which packages offer a method: its entry points, more than one where packages disagree."""

    name: str
    points: tuple[EntryPoint, ...]

    @property
    def packages(self) -> Mapping[str, str]:
        """The distributions that offer it, with their versions."""
        return {point.dist.name: point.dist.version for point in self.points if point.dist is not None}

    @property
    def origin(self) -> str:
        """The distributions in words."""
        return " and ".join(f"{name} {version}" for name, version in sorted(self.packages.items())) or "a package"

    def load(self) -> Listing | BrokenOffer:
        """Import what the package says of its method; a package that cannot be imported is broken, and no error."""
        return _load(self)


@cache
def offered() -> Mapping[str, Offer]:
    """The methods of installed packages by name; nothing of theirs is imported. Looked up once a process."""
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    return {name: Offer(name, tuple(group)) for name, group in groupby(points, key=lambda point: point.name)}


@cache
def _load(offer: Offer) -> Listing | BrokenOffer:
    if len(offer.points) > 1:
        return BrokenOffer("more than one package gives a method of this name")
    try:
        listing = offer.points[0].load()
    except (Exception, SystemExit) as error:  # what somebody else's module raises is not known
        return BrokenOffer(f"{type(error).__name__}: {error}")
    return listing if isinstance(listing, Listing) else BrokenOffer(f"{offer.points[0].value} is no Listing")
