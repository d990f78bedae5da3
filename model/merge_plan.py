"""What a merge without a forge is made of: from the command line, or from a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from medforge.aggregator.merge import MethodSettings, choose_settings
from medforge.aggregator.merge.choosing import parse_parameters
from medforge.base import load_base
from medforge.branch import Branch
from medforge.declared_task import DeclaredTask
from medforge.errors import InvalidInput
from medforge.model.merge_recipe import SUFFIXES, MergeRecipe
from medforge.model.merging import ForeignAdapter, Merged, Part, load_part, merge_parts
from medforge.progress import waiting

PLUGINS_METHOD = "task-arithmetic"
"""What plugins alone are merged by, unless a method is named: they have no images to search or route by."""
IMAGES = "images"


@dataclass(frozen=True)
class MergePlan:
    """Hold the parts of a merge, its settings and the base module's spec."""

    parts: tuple[Part | ForeignAdapter, ...]
    settings: MethodSettings
    base: str
    dtype: str
    weights: tuple[float, ...] | None = None
    tasks: tuple[DeclaredTask, ...] = ()

    @classmethod
    def of(
        cls,
        named: Sequence[Path],
        *,
        method: str | None = None,
        weights: str | None = None,
        parameters: Sequence[str] = (),
        base: str | None = None,
        dtype: str = "fp32",
        seed: int = 0,
        **mode: str | int | None,
    ) -> MergePlan:
        """Make a plan of what was typed; raises InvalidInput for what cannot be merged so, before a base is loaded."""
        if len(named) == 1 and named[0].suffix.lower() in SUFFIXES:
            typed = [name for name, value in (("method", method), ("weights", weights), ("base", base)) if value]
            typed += [name for name, value in mode.items() if value] + ["parameter"] * bool(parameters)
            if typed:
                raise InvalidInput(f"a recipe says everything itself; write {', '.join(typed)} into {named[0]}")
            return cls.of_recipe(MergeRecipe.load(named[0]), named[0].parent)
        parts = tuple(map(load_part, named))
        numbers = None if weights in (None, IMAGES) else _numbers(weights or "", len(parts))
        settings = choose_settings(
            method=method or _default(parts, numbers),
            parameters=parse_parameters(parameters),
            weights=IMAGES if weights == IMAGES else None,
            seed=seed,
            **mode,
        )
        return cls(parts, settings, base or _spec(parts), dtype, numbers)

    @classmethod
    def of_recipe(cls, recipe: MergeRecipe, beside: Path) -> MergePlan:
        """Make a plan of a recipe, whose paths are relative to ``beside``; raises InvalidInput as `of` does."""
        numbers = recipe.part_weights
        settings = choose_settings(
            method=recipe.merge_method,
            parameters=recipe.parameters,
            weights=recipe.weights,
            scaling=recipe.scaling,
            level=recipe.level,
            coefficients=recipe.coefficients,
            objective=recipe.objective,
            sample=recipe.sample,
            expert=recipe.expert,
            seed=recipe.seed,
        )
        parts = tuple(load_part(beside / part.model) for part in recipe.models)
        weights = None if numbers is None else tuple(numbers)
        return cls(parts, settings, recipe.base_model, recipe.dtype, weights, tuple(recipe.declared()))

    def run(self, device: str = "auto") -> Merged:
        """Load the base module and merge; raises InvalidInput, BaseMismatch or InvalidBranch with the reason."""
        base = load_base(self.base, device, self.dtype)
        with waiting(f"merging {len(self.parts)} by {self.settings.method}"):
            parts = [part.read(base) if isinstance(part, ForeignAdapter) else part for part in self.parts]
            return merge_parts(parts, base, self.settings, self.weights, self.tasks)


def _default(parts: Sequence[Part | ForeignAdapter], weights: Sequence[float] | None) -> str | None:
    branches = all(isinstance(part, Branch) for part in parts)
    return None if branches and weights is None else PLUGINS_METHOD


def _spec(parts: Sequence[Part | ForeignAdapter]) -> str:
    specs = {part.manifest.base_spec for part in parts if isinstance(part, Branch)}
    if len(specs) == 1:
        return specs.pop()
    if specs:
        raise InvalidInput(f"the branches stand on different bases ({', '.join(sorted(specs))}); merge those of one")
    raise InvalidInput("plugins do not say which base module they change; give it with --base")


def _numbers(text: str, count: int) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        raise InvalidInput(f"weights {text!r} are no numbers; write one a directory, as in 2,1,1, or images") from None
    if len(numbers) != count:
        raise InvalidInput(f"{len(numbers)} weights are given for {count} directories; give one for each")
    if not all(isfinite(one) and one > 0 for one in numbers):
        raise InvalidInput(f"weights {text!r} are not all above 0; leave out what should not count")
    return numbers
