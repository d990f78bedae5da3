"""Merge methods by name, importable without torch: a method's module is loaded when it is first used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.aggregator.merge.method import MergeMethod

ItemKind = Literal["plugin", "mixture"]
Mode = tuple[str, str]


@dataclass(frozen=True)
class Listing:
    """Describe a method: where it lives, what it does, where it comes from, and its modes.

    ``item`` is the kind of forge item it makes: one plugin, or a mixture. ``modes`` are (level, coefficients), the
    default first; ``any_order`` are those whose result does not depend on the order of arrival, ``reference`` those
    for which the published scripts have an objective. ``defaults`` are settings in which the method differs from
    the others.
    """

    module: str
    item: ItemKind
    summary: str
    source: str
    inference: str
    modes: tuple[Mode, ...]
    any_order: frozenset[Mode] = frozenset()
    reference: frozenset[Mode] = frozenset()
    defaults: Mapping[str, float] = field(default_factory=dict)


_BUILT_IN = "medforge.aggregator.merge"
_ONE_PASS = "one pass, whatever the number of branches"
LISTINGS: dict[str, Listing] = {
    "fusion": Listing(
        module=f"{_BUILT_IN}.fusion",
        item="plugin",
        summary="factors are weighted and added, one plugin remains",
        source="MedForge 2025",
        inference=_ONE_PASS,
        modes=(("layer", "sequential"),),
        reference=frozenset({("layer", "sequential")}),
    ),
    "mixture": Listing(
        module=f"{_BUILT_IN}.mixture",
        item="mixture",
        summary="outputs are weighted and added, plugins stay as they are",
        source="MedForge 2025; joint and gated are ours",
        inference="output: one pass a branch (gated: one base and one plugin pass an image); layer: one pass",
        modes=(
            ("output", "gated"),
            ("output", "joint"),
            ("output", "sequential"),
            ("layer", "sequential"),
            ("layer", "joint"),
        ),
        any_order=frozenset({("output", "gated"), ("output", "joint"), ("layer", "joint")}),
        reference=frozenset({("output", "sequential"), ("layer", "sequential")}),
    ),
    "factor-average": Listing(
        module=f"{_BUILT_IN}.factor_average",
        item="plugin",
        summary="the mean of all factors, one plugin remains",
        source="LoRA averaging",
        inference=_ONE_PASS,
        modes=(("layer", "uniform"),),
        any_order=frozenset({("layer", "uniform")}),
    ),
    "model-soup": Listing(
        module=f"{_BUILT_IN}.model_soup",
        item="mixture",
        summary="the mean of all weight changes",
        source="Wortsman et al. 2022, uniform soup",
        inference=_ONE_PASS,
        modes=(("layer", "uniform"),),
        any_order=frozenset({("layer", "uniform")}),
    ),
    "lorahub": Listing(
        module=f"{_BUILT_IN}.lorahub",
        item="plugin",
        summary="factors are weighted and added, all at once at every arrival, one plugin remains",
        source="Huang et al. 2023, on distilled data",
        inference=_ONE_PASS,
        modes=(("layer", "joint"),),
        any_order=frozenset({("layer", "joint")}),
        reference=frozenset({("layer", "joint")}),
        defaults={"start": 0.0},
    ),
}


def names() -> tuple[str, ...]:
    """The registered methods, sorted."""
    return tuple(sorted(LISTINGS))


def listing_of(name: object) -> Listing:
    """Give the description of a method; raises InvalidInput with the list for a name that is not registered."""
    if not isinstance(name, str) or name not in LISTINGS:
        raise InvalidInput(f"merge method {name!r} is not known; choose one of {', '.join(names())}")
    return LISTINGS[name]


def merge_method(name: str) -> "MergeMethod":
    """Give the method registered under a name; raises InvalidInput with the list for a name that is not."""
    method: MergeMethod = import_module(listing_of(name).module).METHOD
    return method
