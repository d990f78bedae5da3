"""Merge methods by name, importable without torch: a method's module is loaded when it is first used."""

from collections.abc import Mapping
from types import MappingProxyType

from medforge.aggregator.merge.built_in import LISTINGS
from medforge.aggregator.merge.entry_points import GROUP, BrokenOffer, Offer, offered
from medforge.aggregator.merge.listing import Listing
from medforge.errors import InvalidInput


def names() -> tuple[str, ...]:
    """The methods that can be asked for, sorted: built in, and of installed packages."""
    return tuple(sorted({*LISTINGS, *offered()}))


def listings() -> Mapping[str, Listing | BrokenOffer]:
    """Every method by name, sorted, with what it says of itself, or why it cannot be used."""
    found: dict[str, Listing | BrokenOffer] = {**LISTINGS}
    for name, offer in offered().items():
        if name in LISTINGS:
            found[f"{name} of {offer.origin}"] = BrokenOffer("a method that is built in has this name")
        else:
            found[name] = offer.load()
    return MappingProxyType(dict(sorted(found.items())))


def listing_of(name: object) -> Listing:
    """Return the description of a method.

    Raises InvalidInput with the list for a name that nobody registered, and with the reason where the package that
    registers it cannot be used.
    """
    if isinstance(name, str) and name in LISTINGS:
        return LISTINGS[name]
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
    return {} if name in LISTINGS else dict(offered()[name].packages)


def unusable(offer: Offer, reason: str) -> InvalidInput:
    """Return the error for a method whose package cannot be used."""
    return InvalidInput(
        f"merge method {offer.name!r} of {offer.origin} cannot be used ({reason}); mend or uninstall that package "
        f"(entry point group {GROUP})"
    )
