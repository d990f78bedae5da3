"""The job that scores one plugin, or the base module alone, on the task that it is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medforge.simulation.benchmark.jobs.artefacts import TrainedArtefact
from medforge.simulation.benchmark.jobs.job import Artefact, Job
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.benchmark.results.scores import PromptScores


@dataclass(frozen=True)
class ScorePlugin(Artefact):
    """Score a plugin on the test split of its own task; without one, the base module alone."""

    of: TrainedArtefact | None = None

    sort = "score a plugin"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"scores of {self.of.label}" if self.of else f"scores of {self.task}, seed {self.seed}: base alone"

    @property
    def needs(self) -> tuple[Job, ...]:
        """The plugin."""
        return (self.of,) if self.of else ()

    def facts(self, bench: Bench) -> Facts:
        """Name the plugin and all the tasks, whose prompts make the union."""
        return {
            "artefact": "scores",
            "of": self.of.facts(bench) if self.of else bench.facts(self.task, self.seed),
            "union": bench.union_facts,
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Score."""
        plugin = self.of.plugin(bench) if self.of else None
        return {"scores": bench.score_plugin(plugin, self.task, self.seed).model_dump(mode="json")}

    def scores(self, bench: Bench) -> PromptScores:
        """Read the scores."""
        return PromptScores.model_validate(self.record(bench)["scores"])
