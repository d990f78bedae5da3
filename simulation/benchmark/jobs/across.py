"""The job that scores one plugin on every centre's test split: at home and away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medforge.simulation.benchmark.jobs.artefacts import TrainedArtefact
from medforge.simulation.benchmark.jobs.job import Job, StoredArtefact
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.benchmark.results.scores import PromptScores


@dataclass(frozen=True)
class ScoreAcross(StoredArtefact):
    """Score a plugin, or the base module alone, on the test splits of all centres, among all classes of their task."""

    seed: int
    of: TrainedArtefact | None = None

    sort = "score a plugin on all centres"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"scores on all centres of {self.of.label if self.of else f'seed {self.seed}: base alone'}"

    @property
    def needs(self) -> tuple[Job, ...]:
        """The plugin."""
        return (self.of,) if self.of else ()

    def facts(self, bench: Bench) -> Facts:
        """Name the plugin and every centre's images."""
        return {
            "artefact": "scores on all centres",
            "of": self.of.facts(bench) if self.of else None,
            "centres": [bench.facts(name, self.seed) for name in bench.settings.names],
            "sharing": {task: list(names) for task, names in bench.settings.sharing(bench.settings.names).items()},
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Score."""
        scores = bench.score_across(self.of.plugin(bench) if self.of else None, self.seed)
        return {"scores": {name: score.model_dump(mode="json") for name, score in scores.items()}}

    def scores(self, bench: Bench) -> dict[str, PromptScores]:
        """Read the scores, centre by centre."""
        stored = self.record(bench)["scores"]
        return {name: PromptScores.model_validate(score) for name, score in stored.items()}
