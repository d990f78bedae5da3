"""Merge methods by name: names are known without torch, and a method's module is loaded when it is asked about."""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from medforge.aggregator.merge.listing import Listing
from medforge.aggregator.merge.registration import RegisteredMethod
from medforge.registry import Defect, Registry


def _older(name: str, found: object) -> RegisteredMethod | None:
    """Read the offer of a package for MedForge 0.1: a listing, which names the module that holds METHOD."""
    return (
        RegisteredMethod(name, found, lambda: import_module(found.module).METHOD)
        if isinstance(found, Listing)
        else None
    )


METHODS = Registry(
    noun="merge method",
    package="medforge.aggregator.merge.methods",
    group="medforge.merge_methods",
    kind=RegisteredMethod,
    decorator="merge_method",
    older=_older,
)


def built_in() -> tuple[str, ...]:
    """Return the methods that MedForge brings, sorted."""
    return METHODS.built_in()


def names() -> tuple[str, ...]:
    """Return the methods that can be asked for, sorted: built in, and of installed packages."""
    return METHODS.names()


def listings() -> Mapping[str, Listing | Defect]:
    """Return every method by name, sorted, with what it says of itself, or why it cannot be used."""
    everything = METHODS.everything().items()
    return MappingProxyType({name: one if isinstance(one, Defect) else one.listing for name, one in everything})


def listing_of(name: object) -> Listing:
    """Return the description of a method; raises InvalidInput where `Registry.find` does."""
    return METHODS.find(name).listing


def provider(name: str) -> dict[str, str]:
    """Name the installed package that gives a method, and its version; none for a method that is built in."""
    return METHODS.provider(name)
