"""Merge methods that installed packages give: an entry point names a decorated function or class."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from itertools import groupby

from medforge.aggregator.merge.listing import Listing
from medforge.aggregator.merge.registration import Registered, registration_of

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

    def load(self) -> Registered | BrokenOffer:
        """Import the package's method; a package that cannot be imported is broken, and no error."""
        return _load(self)


@cache
def offered() -> Mapping[str, Offer]:
    """The methods of installed packages by name; nothing of theirs is imported. Looked up once a process."""
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value))
    return {name: Offer(name, tuple(group)) for name, group in groupby(points, key=lambda point: point.name)}


@cache
def _load(offer: Offer) -> Registered | BrokenOffer:
    if len(offer.points) > 1:
        return BrokenOffer("more than one package gives a method of this name")
    (point,) = offer.points
    try:
        found = point.load()
    except (Exception, SystemExit) as error:  # what somebody else's module raises is not known
        return BrokenOffer(f"{type(error).__name__}: {error}")
    if isinstance(found, Listing):
        # as packages for 0.1 have it: the entry point names the listing, which names the module of the method
        return Registered(offer.name, found, lambda: import_module(found.module).METHOD)
    registered = registration_of(found)
    if registered is None:
        return BrokenOffer(f"{point.value} is no merge method; decorate it with merge_method")
    if registered.name != offer.name:
        return BrokenOffer(f"{point.value} calls itself {registered.name!r}; name the entry point so")
    return registered
