"""What every door of a comparison works with: centres, recipe, seed, and a place of its own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from medforge.base import BaseModule, load_base
from medforge.client.begin import begin_work
from medforge.client.data.task import Task
from medforge.client.recipes import change_recipe, recipe_for
from medforge.simulation.centres import Centre
from medforge.simulation.evaluation import Evaluator


@dataclass(frozen=True)
class Material:
    """Hold the centres of one seed, how they train, and the directory of everything that is made for them."""

    place: Path
    centres: tuple[Centre, ...]
    base_spec: str
    recipe: str
    changes: tuple[str, ...]
    policy: tuple[str, ...]
    seed: int

    @property
    def spelled(self) -> list[str]:
        """The centres as the command line takes them."""
        return [centre.spell() for centre in self.centres]

    @property
    def branches(self) -> Path:
        """Where `medforge simulate` made the branches that every door takes."""
        return self.place / "grpc" / "centres"

    @cached_property
    def rounds(self) -> int:
        """As many as the recipe has epochs: a centre trains one in a round."""
        return change_recipe(recipe_for(self.base_spec, self.recipe), self.changes).train.epochs

    @cached_property
    def base(self) -> BaseModule:
        """Load the base module."""
        return load_base(self.base_spec, "cpu")

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Open every centre's images as its branch saw them."""
        return {one.name: begin_work(self.branches / one.name, {"base": self.base_spec}).task for one in self.centres}

    @cached_property
    def union(self) -> tuple[str, ...]:
        """Every task's prompts, each once."""
        return tuple(dict.fromkeys(prompt for task in self.tasks.values() for prompt in task.prompts))

    @cached_property
    def evaluator(self) -> Evaluator:
        """Score models on the test splits."""
        return Evaluator(self.base, self.tasks)

    def config(self, out: Path) -> dict[str, object]:
        """Return the run configuration that both Flower apps understand."""
        given = {"out": str(out), "centres": " ".join(self.spelled), "base": self.base_spec, "recipe": self.recipe}
        return given | {"changes": " ".join(self.changes), "seed": self.seed}

    def lend(self, out: Path) -> None:
        """Put copies of the finished workspaces where a run's nodes work."""
        if not (out / "centres").exists():
            shutil.copytree(self.branches, out / "centres", ignore=shutil.ignore_patterns("receipt*", ".lock"))
