"""Values that a shell completes; each function returns those that begin as what was typed."""

from __future__ import annotations

from medforge.cli.complete import beginning


def merge_methods(incomplete: str) -> list[str]:
    """Return the merge methods, also those of installed packages."""
    from medforge.aggregator.merge import listings

    return beginning(listings(), incomplete)


def rules(incomplete: str) -> list[str]:
    """Return the rules by which branches of one task can be merged."""
    from medforge.aggregator.merge.settings import MEAN, SITES

    return beginning([MEAN, SITES, *merge_methods("")], incomplete)


def levels(incomplete: str) -> list[str]:
    """Return what merge methods weigh."""
    return beginning((level for level, _ in _modes()), incomplete)


def coefficients(incomplete: str) -> list[str]:
    """Return how merge methods find coefficients."""
    return beginning((coefficients for _, coefficients in _modes()), incomplete)


def objectives(incomplete: str) -> list[str]:
    """Return what a search can minimise."""
    return beginning(["cross-entropy", "reference"], incomplete)


def weights(incomplete: str) -> list[str]:
    """Return how branches can be weighed."""
    return beginning(["equal", "images"], incomplete)


def scalings(incomplete: str) -> list[str]:
    """Return how a merged weight change can be scaled."""
    return beginning(["given", "distilled"], incomplete)


def log_formats(incomplete: str) -> list[str]:
    """Return how a server can log."""
    return beginning(["text", "json"], incomplete)


def _modes() -> list[tuple[str, str]]:
    from medforge.aggregator.merge import Listing, listings

    return [mode[:2] for listing in listings().values() if isinstance(listing, Listing) for mode in listing.modes]
