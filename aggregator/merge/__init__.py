"""Merge methods: one short file each, registered by name; installed packages may register more."""

from medforge.aggregator.merge.built_in import LISTINGS
from medforge.aggregator.merge.listing import Listing, Parameter
from medforge.aggregator.merge.registry import listings, merge_method, names
from medforge.aggregator.merge.settings import MethodSettings

__all__ = ["LISTINGS", "Listing", "MethodSettings", "Parameter", "listings", "merge_method", "names"]
