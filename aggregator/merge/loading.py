"""Merge methods as objects, to merge by."""

from medforge.aggregator.merge.catalogue import built_in, registered, unusable
from medforge.aggregator.merge.entry_points import offered
from medforge.aggregator.merge.method import MergeMethod


def method_of(name: str) -> MergeMethod:
    """Return the method of a name; raises InvalidInput where `registered` does, or where it cannot be loaded."""
    found = registered(name)
    if name in built_in():
        method = found.load()
        assert isinstance(method, MergeMethod), "the decorator makes nothing else"
        return method
    offer = offered()[name]
    try:
        method = found.load()
    except (Exception, SystemExit) as error:  # what somebody else's module raises is not known
        raise unusable(offer, f"{type(error).__name__}: {error}") from error
    if not isinstance(method, MergeMethod):
        raise unusable(offer, f"METHOD of {found.listing.module} is no MergeMethod")
    return method
