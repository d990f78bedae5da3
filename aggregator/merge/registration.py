"""The decorator that makes a function or a class a merge method, and keeps what it says of itself beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from medforge.aggregator.merge.listing import METHOD_NAME, UNIFORM, ItemKind, Listing, Mode, Parameter
from medforge.registry import note

if TYPE_CHECKING:
    from medforge.aggregator.merge.method import MergeMethod
    from medforge.aggregator.merge.training_free import PluginMerge

Target = TypeVar("Target", bound="PluginMerge | type[MergeMethod]")


@dataclass(frozen=True, eq=False)
class RegisteredMethod:
    """Hold a method under its name, with its listing; ``load`` returns the method itself."""

    name: str
    listing: Listing
    load: Callable[[], object]


def merge_method(
    *,
    name: str,
    item: ItemKind,
    summary: str,
    source: str,
    parameters: Mapping[str, Parameter] | None = None,
    modes: tuple[Mode, ...] = (UNIFORM,),
    any_order: Collection[Mode] = (),
    reference: Collection[Mode] = (),
    distilled: bool = True,
    defaults: Mapping[str, float] | None = None,
) -> Callable[[Target], Target]:
    """Make what is decorated the merge method ``name``; the other arguments are those of its `Listing`.

    A function (plugins, base, settings) → forge item needs plugins alone and gives the same for every order of them
    (see `PluginMerge`), so ``modes``, ``any_order``, ``reference`` and ``distilled`` are left out. A class is a
    `MergeMethod`, which sees the whole merge round.

    Raises ValueError or TypeError where this does not fit together, which is a mistake of who writes a method.
    """
    if not re.fullmatch(METHOD_NAME, name):
        raise ValueError(f"a merge method cannot be named {name!r}")

    def register(target: Target) -> Target:
        # here, for the catalogue of names needs this file and no torch
        from medforge.aggregator.merge.method import MergeMethod
        from medforge.aggregator.merge.training_free import FunctionMethod

        plain = not isinstance(target, type)
        if plain and (modes != (UNIFORM,) or any_order or reference or not distilled):
            raise TypeError("a function merges plugins in any order and has one mode; modes belong to a class")
        if isinstance(target, type) and not issubclass(target, MergeMethod):
            raise TypeError(f"{target.__qualname__} is no MergeMethod")
        listing = Listing(
            module=target.__module__,
            item=item,
            summary=summary,
            source=source,
            modes=modes,
            distilled=distilled and not plain,
            growth=target.growth if isinstance(target, type) else "linear",
            any_order=frozenset(modes if plain else any_order),
            reference=frozenset(reference),
            defaults=defaults or {},
            parameters=parameters or {},
        )
        method = target() if isinstance(target, type) else FunctionMethod(target)
        note(target, RegisteredMethod(name, listing, lambda: method))
        return target

    return register
