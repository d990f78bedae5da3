"""What every job of a benchmark works with: settings, base module, tasks, recipes and stored artefacts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache

from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base import BaseModule, load_base
from medforge.client.data.catalogue import open_task
from medforge.client.data.task import Task
from medforge.client.recipe import Recipe
from medforge.client.recipes import change_recipe, recipe_for, with_method, with_plugin
from medforge.forge_item import ForgeItem
from medforge.manifest import software_versions
from medforge.plugin import Plugin, PluginKind
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.results.scores import PromptScores
from medforge.simulation.benchmark.settings import DEFAULT_DISTILLATION, BenchmarkSettings
from medforge.simulation.evaluation import Evaluator
from medforge.simulation.result import Score

Facts = dict[str, object]


@dataclass(eq=False)
class Bench:
    """Hold one process's base module and open tasks; both are loaded when first needed."""

    settings: BenchmarkSettings
    store: Store
    _evaluators: dict[int, Evaluator] = field(default_factory=dict)

    @cached_property
    def base(self) -> BaseModule:
        """Load the base module."""
        return load_base(self.settings.base, self.settings.device, self.settings.dtype)

    @cached_property
    def probabilities(self) -> ProbabilityCache:
        """The class probabilities on distilled images, shared by all merges and all processes."""
        return ProbabilityCache(self.base, self.store.cache / "probabilities")

    @cached_property
    def union(self) -> tuple[str, ...] | None:
        """The prompts of all tasks, each once; None where a task is multi-label, since findings do not compete."""
        if self.multi_label:
            return None
        prompts = (prompt for name in self.settings.names for prompt in self.task(name, self.settings.seeds[0]).prompts)
        return tuple(dict.fromkeys(prompts))

    @cached_property
    def multi_label(self) -> tuple[str, ...]:
        """The names of the tasks where an image may have several findings."""
        seed = self.settings.seeds[0]
        return tuple(name for name in self.settings.names if self.task(name, seed).multi_label)

    @cached_property
    def circumstances(self) -> dict[str, str]:
        """Say what a number may depend on in its last digits, and what is therefore recorded and not part of a key."""
        return {**software_versions(), "device": self.base.device.type}

    @property
    def union_facts(self) -> list[str]:
        """Say what the union of prompts depends on."""
        return [centre.source for centre in self.settings.centres]

    def facts(self, name: str, seed: int) -> Facts:
        """Say what everything made for a task under a seed depends on."""
        return {
            "task": name,
            "source": self.settings.source(name),
            "seed": seed,
            "base": self.base.fingerprint,
            "dtype": self.settings.dtype,
        }

    def recipe(self, kind: PluginKind = "lora", distillation: str = DEFAULT_DISTILLATION) -> Recipe:
        """Return the recipe for a plugin kind and a distillation method; what the user changed comes last."""
        return self._recipe(kind, distillation)

    @cached_property
    def _recipe(self) -> Callable[[PluginKind, str], Recipe]:
        return cache(self._make_recipe)

    def _make_recipe(self, kind: PluginKind, distillation: str) -> Recipe:
        chosen = recipe_for(self.settings.base, self.settings.recipe)
        # only where it differs: a recipe may have settings of its own for its own method
        if distillation != chosen.distill.method:
            chosen = with_method(chosen, distillation)
        return change_recipe(with_plugin(chosen, kind), self.settings.changes)

    def task(self, name: str, seed: int) -> Task:
        """Open a task with the splits of a seed."""
        return self._open(name, seed)

    @cached_property
    def _open(self) -> Callable[[str, int], Task]:
        def open_named(name: str, seed: int) -> Task:
            return open_task(self.settings.source(name), self.base.preprocessing, seed, self.store.cache / "pixels")

        return lru_cache(maxsize=2 * len(self.settings.centres))(open_named)

    def classes(self, task: str, seed: int) -> tuple[str, ...]:
        """Return the prompts of a task: those of its centres, each once, for a centre may lack some."""
        centres = self.settings.sharing(self.settings.names)[task]
        return tuple(dict.fromkeys(prompt for name in centres for prompt in self.task(name, seed).prompts))

    def places(self, name: str, seed: int) -> list[int]:
        """Return which classes of its task a centre's are."""
        classes = self.classes(self.settings.task_of(name), seed)
        return [classes.index(prompt) for prompt in self.task(name, seed).prompts]

    def score_item(self, item: ForgeItem, names: tuple[str, ...], seed: int) -> dict[str, PromptScores]:
        """Score a merged model on tasks: among each task's own prompts, and among all tasks' where they compete."""
        evaluator = self.evaluator(seed)
        scores = {
            name: self._scores(lambda prompts, name=name: evaluator.score_item(name, item, prompts))  # type: ignore[misc]
            for name in names
        }
        # a fused model is scored once, and there are hundreds of orders
        evaluator.forget(item)
        return scores

    def score_across(self, model: Plugin | ForgeItem | None, seed: int) -> dict[str, PromptScores]:
        """Score one model on every centre's test split, among all classes of the centre's task.

        It is a merged model, one plugin, or (None) the base module alone.
        """
        evaluator = self.evaluator(seed)
        scores: dict[str, PromptScores] = {}
        for name in self.settings.names:
            prompts = self.classes(self.settings.task_of(name), seed)
            if isinstance(model, ForgeItem):
                own = evaluator.score_item(name, model, prompts)
            else:
                own = evaluator.score_plugin(name, model, prompts) if model else evaluator.score_base(name, prompts)
            scores[name] = PromptScores(own=own, union=None)
        if isinstance(model, ForgeItem):
            evaluator.forget(model)
        return scores

    def score_plugin(self, plugin: Plugin | None, name: str, seed: int) -> PromptScores:
        """Score one plugin, or the base module alone, on a task."""
        evaluator = self.evaluator(seed)
        if plugin is None:
            return self._scores(lambda prompts: evaluator.score_base(name, prompts))
        return self._scores(lambda prompts: evaluator.score_plugin(name, plugin, prompts))

    def _scores(self, score: Callable[[Sequence[str] | None], Score]) -> PromptScores:
        return PromptScores(own=score(None), union=score(self.union) if self.union else None)

    def evaluator(self, seed: int) -> Evaluator:
        """Return what scores models on the test splits of a seed."""
        if seed not in self._evaluators:
            # one seed at a time: what is kept grows with every plugin scored
            self._evaluators.clear()
            tasks: Mapping[str, Task] = {name: self.task(name, seed) for name in self.settings.names}
            self._evaluators[seed] = Evaluator(self.base, tasks)
        return self._evaluators[seed]
