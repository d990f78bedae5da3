"""Merge methods: one short file each, registered by name; installed packages may register more."""

from medforge.aggregator.merge.built_in import LISTINGS
from medforge.aggregator.merge.catalogue import listings, names
from medforge.aggregator.merge.choosing import choose_settings
from medforge.aggregator.merge.listing import Listing, Parameter
from medforge.aggregator.merge.loading import merge_method
from medforge.aggregator.merge.settings import MethodSettings

__all__ = [
    "LISTINGS",
    "Listing",
    "MethodSettings",
    "Parameter",
    "choose_settings",
    "listings",
    "merge_method",
    "names",
]
