"""Values that a shell completes, of options that both sides have; each returns those that begin as what was typed."""

from __future__ import annotations

from collections.abc import Iterable


def beginning(values: Iterable[str], typed: str) -> list[str]:
    """Return the values that begin so, each once and sorted."""
    return sorted({value for value in values if value.startswith(typed)})


def bases(incomplete: str) -> list[str]:
    """Return the base module that is always there."""
    return beginning(["medforge-tiny"], incomplete)


def devices(incomplete: str) -> list[str]:
    """Return the usual devices."""
    return beginning(["auto", "cpu", "cuda"], incomplete)


def dtypes(incomplete: str) -> list[str]:
    """Return the dtypes that every device computes."""
    return beginning(["fp32", "bf16"], incomplete)
