"""Merge methods: one short file each in `methods`, found by name; installed packages may bring more."""

from medforge.aggregator.merge.catalogue import built_in, listing_of, listings, names
from medforge.aggregator.merge.choosing import choose_settings
from medforge.aggregator.merge.listing import Listing, Parameter
from medforge.aggregator.merge.registration import merge_method
from medforge.aggregator.merge.settings import MethodSettings

__all__ = [
    "Listing",
    "MethodSettings",
    "Parameter",
    "built_in",
    "choose_settings",
    "listing_of",
    "listings",
    "merge_method",
    "names",
]
