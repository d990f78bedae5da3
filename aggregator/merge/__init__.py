"""Merge methods: one short file each, registered by name."""

from medforge.aggregator.merge.registry import LISTINGS, Listing, merge_method, names
from medforge.aggregator.merge.settings import MethodSettings

__all__ = ["LISTINGS", "Listing", "MethodSettings", "merge_method", "names"]
