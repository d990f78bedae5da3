"""Merge methods by name, importable without torch: a method's module is loaded when it is first used."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.aggregator.merge.method import MergeMethod


@dataclass(frozen=True)
class Listing:
    """Describe a method: where it lives, what it does, and its (level, coefficients) modes, the default first."""

    module: str
    summary: str
    modes: tuple[tuple[str, str], ...]
    order_independent: str
    inference: str


_BUILT_IN = "medforge.aggregator.merge"
LISTINGS: dict[str, Listing] = {
    "fusion": Listing(
        module=f"{_BUILT_IN}.fusion",
        summary="factors are weighted and added, one plugin remains",
        modes=(("layer", "sequential"),),
        order_independent="no",
        inference="one pass, whatever the number of branches",
    ),
    "mixture": Listing(
        module=f"{_BUILT_IN}.mixture",
        summary="outputs are weighted and added, plugins stay as they are",
        modes=(
            ("output", "gated"),
            ("output", "joint"),
            ("output", "sequential"),
            ("layer", "sequential"),
            ("layer", "joint"),
        ),
        order_independent="with joint or gated coefficients",
        inference="output: one pass a branch (gated: one base and one plugin pass an image); layer: one pass",
    ),
}


def names() -> tuple[str, ...]:
    """The registered methods, sorted."""
    return tuple(sorted(LISTINGS))


def check_name(name: object) -> None:
    """Check that a method is registered; raises InvalidInput with the list."""
    if not isinstance(name, str) or name not in LISTINGS:
        raise InvalidInput(f"merge method {name!r} is not known; choose one of {', '.join(names())}")


def modes_of(name: str) -> tuple[tuple[str, str], ...]:
    """The (level, coefficients) pairs that a method offers, its default first."""
    return LISTINGS[name].modes


def merge_method(name: str) -> "MergeMethod":
    """Give the method registered under a name; raises InvalidInput with the list for a name that is not."""
    check_name(name)
    method: MergeMethod = import_module(LISTINGS[name].module).METHOD
    return method
