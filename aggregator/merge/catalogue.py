"""Merge methods by name: names are known without torch, and a method's module is loaded when it is asked about."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from medforge.aggregator.merge import methods
from medforge.aggregator.merge.entry_points import GROUP, BrokenOffer, Offer, offered
from medforge.aggregator.merge.listing import Listing
from medforge.aggregator.merge.registration import Registered, registered_in
from medforge.errors import InvalidInput


@cache
def built_in() -> tuple[str, ...]:
    """Return the methods that MedForge brings, sorted: one for each file in `methods`, with - for _."""
    return tuple(sorted(module.name.replace("_", "-") for module in iter_modules(methods.__path__)))


def names() -> tuple[str, ...]:
    """Return the methods that can be asked for, sorted: built in, and of installed packages."""
    return tuple(sorted({*built_in(), *offered()}))


def listings() -> Mapping[str, Listing | BrokenOffer]:
    """Return every method by name, sorted, with what it says of itself, or why it cannot be used."""
    found: dict[str, Listing | BrokenOffer] = {name: listing_of(name) for name in built_in()}
    for name, offer in offered().items():
        loaded = offer.load()
        if name in built_in():
            found[f"{name} of {offer.origin}"] = BrokenOffer("a method that is built in has this name")
        else:
            found[name] = loaded.listing if isinstance(loaded, Registered) else loaded
    return MappingProxyType(dict(sorted(found.items())))


def listing_of(name: object) -> Listing:
    """Return the description of a method; raises InvalidInput where `registered` does."""
    return registered(name).listing


def registered(name: object) -> Registered:
    """Return a method with its description.

    Raises InvalidInput with the list for a name that nobody registered, and with the reason where the package that
    registers it cannot be used.
    """
    if isinstance(name, str) and name in built_in():
        return registered_in(import_module(f"{methods.__name__}.{name.replace('-', '_')}"))
    offer = offered().get(name) if isinstance(name, str) else None
    if offer is None:
        raise InvalidInput(
            f"merge method {name!r} is not known; choose one of {', '.join(names())}, "
            "or install the package that gives it"
        )
    found = offer.load()
    if isinstance(found, BrokenOffer):
        raise unusable(offer, found.reason)
    return found


def provider(name: str) -> dict[str, str]:
    """Name the installed package that gives a method, and its version; none for a method that is built in."""
    return {} if name in built_in() else dict(offered()[name].packages)


def unusable(offer: Offer, reason: str) -> InvalidInput:
    """Return the error for a method whose package cannot be used."""
    return InvalidInput(
        f"merge method {offer.name!r} of {offer.origin} cannot be used ({reason}); mend or uninstall that package "
        f"(entry point group {GROUP})"
    )
