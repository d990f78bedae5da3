"""Merge methods as objects, to merge by."""

from medforge.aggregator.merge.catalogue import METHODS
from medforge.aggregator.merge.method import MergeMethod


def method_of(name: str) -> MergeMethod:
    """Return the method of a name; raises InvalidInput where `Registry.find` does, or where it cannot be loaded."""
    found = METHODS.find(name)
    if name in METHODS.built_in():
        method = found.load()
        assert isinstance(method, MergeMethod), "the decorator makes nothing else"
        return method
    offer = METHODS.offers()[name]
    try:
        method = found.load()
    except (Exception, SystemExit) as error:  # what somebody else's module raises is not known
        raise METHODS.unusable(offer, f"{type(error).__name__}: {error}") from error
    if not isinstance(method, MergeMethod):
        raise METHODS.unusable(offer, f"METHOD of {found.listing.module} is no MergeMethod")
    return method
