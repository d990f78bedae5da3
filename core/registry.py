"""What can be chosen by name: what MedForge brings, one file each, and what installed packages bring.

A decorator notes on a function or class what it is. Of MedForge's own there is one in each file of a package, and the
file is named like it; an installed package names its own by an entry point. Nothing else lists them, and names are
known before anything is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from itertools import groupby
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from medforge.errors import InvalidInput

NOTE = "__medforge__"


class HasName(Protocol):
    """Know the name by which one is asked for."""

    @property
    def name(self) -> str:
        """Return the name by which it is asked for."""


T = TypeVar("T", bound=HasName)


@dataclass(frozen=True)
class Defect:
    """Say why something that a package offers cannot be used."""

    reason: str


@dataclass(frozen=True)
class Offer:
    """Hold a name under which packages offer something: its entry points, more than one where packages disagree."""

    name: str
    points: tuple[EntryPoint, ...]

    @property
    def packages(self) -> Mapping[str, str]:
        """Return the distributions that offer it, with their versions."""
        return {point.dist.name: point.dist.version for point in self.points if point.dist is not None}

    @property
    def origin(self) -> str:
        """Return the distributions in words."""
        return " and ".join(f"{name} {version}" for name, version in sorted(self.packages.items())) or "a package"


def note(target: object, what: HasName) -> None:
    """Note on a function or class what it is; `Registry` reads it."""
    setattr(target, NOTE, what)


@cache
def offered(group: str) -> Mapping[str, Offer]:
    """Return what installed packages offer in an entry point group, by name; looked up once, nothing is imported."""
    points = sorted(entry_points(group=group), key=lambda point: (point.name, point.value))
    return {name: Offer(name, tuple(same)) for name, same in groupby(points, key=lambda point: point.name)}


@dataclass(frozen=True, eq=False)
class Registry(Generic[T]):
    """Find things of one kind by name.

    ``noun`` says in sentences what they are, ``package`` holds those that MedForge brings, ``group`` is the entry point
    group of the others, ``kind`` the class of the notes, and ``decorator`` what writes them. ``older`` reads what
    packages for an older MedForge offer under a name, and returns None for what is none either.
    """

    noun: str
    package: str
    group: str
    kind: type[T]
    decorator: str
    older: Callable[[str, object], T | None] = lambda _name, _found: None

    def built_in(self) -> tuple[str, ...]:
        """Return the names of what MedForge brings, sorted: those of the files, with + for _plus and - for _."""
        return _files(self.package)

    def offers(self) -> Mapping[str, Offer]:
        """Return what installed packages offer, by name."""
        return offered(self.group)

    def names(self) -> tuple[str, ...]:
        """Return every name that can be asked for, sorted."""
        return tuple(sorted({*self.built_in(), *self.offers()}))

    def find(self, name: object) -> T:
        """Return what has a name, importing where it is.

        Raises InvalidInput with the list for a name that nobody has, and with the reason where the package that offers
        it cannot be used.
        """
        if isinstance(name, str) and name in self.built_in():
            return self._in_file(name)
        offer = self.offers().get(name) if isinstance(name, str) else None
        if offer is None:
            raise InvalidInput(
                f"{self.noun} {name!r} is not known; choose one of {', '.join(self.names())}, "
                "or install the package that gives it"
            )
        found = self.load(offer)
        if isinstance(found, Defect):
            raise self.unusable(offer, found.reason)
        return found

    def everything(self) -> Mapping[str, T | Defect]:
        """Return all by name, sorted, each with its note or with why it cannot be used."""
        found: dict[str, T | Defect] = {name: self._in_file(name) for name in self.built_in()}
        for name, offer in self.offers().items():
            if name in found:
                found[f"{name} of {offer.origin}"] = Defect(f"a {self.noun} that is built in has this name")
            else:
                found[name] = self.load(offer)
        return MappingProxyType(dict(sorted(found.items())))

    def provider(self, name: str) -> dict[str, str]:
        """Name the installed package that gives something, and its version; none for what is built in."""
        return {} if name in self.built_in() else dict(self.offers()[name].packages)

    def load(self, offer: Offer) -> T | Defect:
        """Import what a package offers; a package that cannot be imported is broken, and no error."""
        if len(offer.points) > 1:
            return Defect(f"more than one package gives a {self.noun} of this name")
        (point,) = offer.points
        try:
            found = point.load()
        except (Exception, SystemExit) as error:  # what somebody else's module raises is not known
            return Defect(f"{type(error).__name__}: {error}")
        noted = self.noted(found) or self.older(offer.name, found)
        if noted is None:
            return Defect(f"{point.value} is no {self.noun}; decorate it with {self.decorator}")
        if noted.name != offer.name:
            return Defect(f"{point.value} calls itself {noted.name!r}; name the entry point so")
        return noted

    def unusable(self, offer: Offer, reason: str) -> InvalidInput:
        """Return the error for something whose package cannot be used."""
        return InvalidInput(
            f"{self.noun} {offer.name!r} of {offer.origin} cannot be used ({reason}); mend or uninstall that package "
            f"(entry point group {self.group})"
        )

    def noted(self, target: object) -> T | None:
        """Return what is noted on a function or class; None for anything else."""
        found = vars(target).get(NOTE) if hasattr(target, "__dict__") else None
        return found if isinstance(found, self.kind) else None

    def _in_file(self, name: str) -> T:
        module = import_module(f"{self.package}.{name.replace('+', '_plus').replace('-', '_')}")
        own = (self.noted(one) for one in vars(module).values() if getattr(one, "__module__", "") == module.__name__)
        (noted,) = (one for one in own if one is not None)
        assert noted.name == name, f"{module.__name__} calls itself {noted.name}"
        return noted


@cache
def _files(package: str) -> tuple[str, ...]:
    path = import_module(package).__path__
    return tuple(sorted(module.name.replace("_plus", "+").replace("_", "-") for module in iter_modules(path)))
