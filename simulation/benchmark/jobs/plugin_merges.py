"""The job that merges plugins by a training-free method: no branches, no distilled data, no order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medforge.aggregator.merge.loading import method_of
from medforge.aggregator.merge.training_free import NamedPlugin, TrainingFree
from medforge.forge_item import ForgeItem, FusedPlugin
from medforge.plugin import Plugin, PluginKind
from medforge.simulation.benchmark.jobs.artefacts import Train
from medforge.simulation.benchmark.jobs.job import StoredArtefact
from medforge.simulation.benchmark.jobs.methods import Merger
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.benchmark.results.scores import PromptScores


@dataclass(frozen=True)
class MergePlugins(StoredArtefact):
    """Merge the plugins of tasks under one seed, and score the result on each of them.

    A plugin's own digest stands where a forge has the digest of its branch.
    """

    merger: Merger
    seed: int
    tasks: tuple[str, ...]
    kind: PluginKind

    @property
    def label(self) -> str:
        """Name the job."""
        return f"seed {self.seed}: {self.merger.label} of {self.kind} plugins, {' '.join(self.tasks)}"

    @property
    def sort(self) -> str:
        """Every method takes a time of its own."""
        return f"merge plugins by {self.merger.key}"

    @property
    def trained(self) -> tuple[Train, ...]:
        """The plugins' jobs, in an order that is the same for every order of tasks."""
        return tuple(Train(task, self.seed, self.kind) for task in sorted(self.tasks))

    @property
    def needs(self) -> tuple[Train, ...]:
        """The plugin of every task."""
        return self.trained

    def merge_facts(self, bench: Bench) -> Facts:
        """Say everything that the merged model depends on."""
        return {
            "method": self.merger.settings(self.seed).model_dump(mode="json"),
            "plugins": [job.facts(bench) for job in self.trained],
        }

    def facts(self, bench: Bench) -> Facts:
        """Add all the tasks, whose prompts make the union."""
        return {"artefact": "merge of plugins", **self.merge_facts(bench), "union": bench.union_facts}

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Merge and score."""
        item = self.item(bench)
        scores = bench.score_item(item, tuple(sorted(self.tasks)), self.seed)
        return {
            "item": item.digest,
            "bytes": sum(map(len, item.files().values())),
            "mean_rank": mean_rank(item.plugin) if isinstance(item, FusedPlugin) else None,
            "scores": {task: score.model_dump(mode="json") for task, score in scores.items()},
        }

    def item(self, bench: Bench) -> ForgeItem:
        """Merge, without scoring."""
        settings = self.merger.settings(self.seed)
        method = method_of(settings.method)
        assert isinstance(method, TrainingFree), f"{self.merger.key} needs more than plugins"
        named = sorted(
            (NamedPlugin((p := job.plugin(bench)).digest, p) for job in self.trained), key=lambda one: one.branch
        )
        return method.merge(named, bench.base, settings)

    def scores(self, bench: Bench) -> dict[str, PromptScores]:
        """Read the scores, task by task."""
        stored = self.record(bench)["scores"]
        return {task: PromptScores.model_validate(stored[task]) for task in self.tasks}


def mean_rank(plugin: Plugin) -> float:
    """Average a plugin's rank over its sites."""
    return sum(map(plugin.settings.rank_at, plugin.sites)) / len(plugin.sites)
