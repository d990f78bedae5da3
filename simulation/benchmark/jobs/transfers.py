"""The jobs of training on a task that a merged plugin has never seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medforge.client.evaluate import score_base, score_plugin
from medforge.client.train import defined, train, trained_as
from medforge.forge_item import FusedPlugin
from medforge.plugin import Plugin, PluginKind
from medforge.simulation.benchmark.jobs.artefacts import TrainedArtefact, keep
from medforge.simulation.benchmark.jobs.job import Artefact, Job
from medforge.simulation.benchmark.jobs.plugin_merges import MergePlugins
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts


def merged_plugin(merge: MergePlugins, bench: Bench) -> Plugin:
    """Merge into one plugin, which training can start from."""
    item = merge.item(bench)
    assert isinstance(item, FusedPlugin), f"{merge.merger.key} makes no plugin"
    return item.plugin


@dataclass(frozen=True)
class Before(Artefact):
    """Score what training starts from on the validation split: the base module alone, or a merged plugin on it."""

    merge: MergePlugins | None = None

    sort = "validation before training"

    @property
    def label(self) -> str:
        """Name the job."""
        what = "a merge of the others" if self.merge else "base alone"
        return f"{self.task}, seed {self.seed}: {what}, before training"

    @property
    def needs(self) -> tuple[Job, ...]:
        """The plugins to merge."""
        return self.merge.trained if self.merge else ()

    def facts(self, bench: Bench) -> Facts:
        """Name the merge."""
        merge = self.merge.merge_facts(bench) if self.merge else None
        return {"artefact": "validation before training", "merge": merge, **bench.facts(self.task, self.seed)}

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Score."""
        task = bench.task(self.task, self.seed)
        if self.merge is None:
            metrics = score_base(bench.base, task, "validation")
        else:
            metrics = score_plugin(merged_plugin(self.merge, bench), bench.base, task, "validation")
        return {"acc": metrics.acc, "auc": defined(metrics.auc), "loss": metrics.loss}


_MERGED: PluginKind = "svd-lora"
"""The kind of plugin that Med-LEGO makes, whatever it merges."""


@dataclass(frozen=True)
class TrainAfterMerge(TrainedArtefact):
    """Train on a task's images, from a merge of other tasks' plugins, or from a fresh plugin of its shape.

    The shape is the control: what a fresh plugin of the same ranks reaches is not owed to what was merged.
    """

    merge: MergePlugins
    start: Literal["merged", "shape"]

    @property
    def label(self) -> str:
        """Name the job."""
        what = "from a merge of the others" if self.start == "merged" else "from a fresh plugin of the merge's shape"
        return f"{self.task}, seed {self.seed}: {what}"

    @property
    def sort(self) -> str:
        """Both starts take the same time, another than a plugin of the recipe's own rank."""
        return "train in a merge's shape"

    @property
    def needs(self) -> tuple[Job, ...]:
        """The plugins to merge."""
        return self.merge.trained

    def facts(self, bench: Bench) -> Facts:
        """Add the merge and the training recipe, whose plugin the merge replaces."""
        recipe = bench.recipe(_MERGED).train.model_dump(mode="json")
        return {
            "artefact": "plugin after a merge",
            "start": self.start,
            "merge": self.merge.merge_facts(bench),
            "recipe": recipe,
            **bench.facts(self.task, self.seed),
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Merge, train, and save the plugin of the best epoch on validation."""
        begin = merged_plugin(self.merge, bench)
        task = bench.task(self.task, self.seed)
        recipe = bench.recipe(_MERGED).train
        shape = trained_as(begin, recipe.plugin).settings
        recipe = recipe.model_copy(update={"plugin": shape})
        start = begin if self.start == "merged" else None
        trained = train(bench.base, task, recipe, self.seed, place, self.progress(bench), start=start)
        return {"start": begin.digest if start else None, **keep(trained, place)}
