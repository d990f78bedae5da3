"""Merge methods as objects: a method's module is loaded when it is first used."""

from importlib import import_module
from typing import TYPE_CHECKING

from medforge.aggregator.merge.built_in import LISTINGS
from medforge.aggregator.merge.catalogue import listing_of, unusable
from medforge.aggregator.merge.entry_points import Offer, offered
from medforge.aggregator.merge.listing import Listing

if TYPE_CHECKING:
    from medforge.aggregator.merge.method import MergeMethod


def merge_method(name: str) -> "MergeMethod":
    """Return the method of a name; raises InvalidInput where `listing_of` does, or where it cannot be loaded."""
    listing = listing_of(name)
    if name in LISTINGS:
        built_in: MergeMethod = import_module(listing.module).METHOD
        return built_in
    return _third_party(offered()[name], listing)


def _third_party(offer: Offer, listing: Listing) -> "MergeMethod":
    from medforge.aggregator.merge.method import MergeMethod

    try:
        method = import_module(listing.module).METHOD
    except (Exception, SystemExit) as error:  # what somebody else's module raises is not known
        raise unusable(offer, f"{type(error).__name__}: {error}") from error
    if not isinstance(method, MergeMethod):
        raise unusable(offer, f"METHOD of {listing.module} is no MergeMethod")
    return method
