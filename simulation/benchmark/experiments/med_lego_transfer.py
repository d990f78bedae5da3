"""New tasks: training from a merge of all other tasks' plugins, beside training from a fresh one."""

from __future__ import annotations

from pathlib import Path

from medforge.simulation.benchmark.experiments.plan import Plan
from medforge.simulation.benchmark.experiments.provenance import provenance
from medforge.simulation.benchmark.jobs.artefacts import Train, TrainedArtefact
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.methods import MED_LEGO
from medforge.simulation.benchmark.jobs.plugin_merges import MergePlugins
from medforge.simulation.benchmark.jobs.rows import KIND_NAMES
from medforge.simulation.benchmark.jobs.scores import ScorePlugin
from medforge.simulation.benchmark.jobs.transfers import Before, TrainAfterMerge
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.result import StartKey, TransferResult, TransferRun, TransferStart
from medforge.simulation.benchmark.settings import BenchmarkSettings, Experiment


class LegoTransfer(Plan):
    """Leave each task out once: merge the others by Med-LEGO, and train on the one left out."""

    experiment = Experiment.LEGO_TRANSFER
    title = "Med-LEGO, new tasks"
    distils = False

    def jobs(self, settings: BenchmarkSettings) -> list[Job]:
        """List what every start of every task needs, seed by seed."""
        return [
            job
            for seed in settings.seeds
            for name in settings.names
            for start in ("fresh", "merged", "shape")
            for job in (
                _before(settings, name, seed, start),
                ScorePlugin(name, seed, _trained(settings, name, seed, start)),
            )
        ]

    def collect(self, bench: Bench, out: Path) -> TransferResult:
        """Read every curve."""
        settings = bench.settings
        labels: dict[StartKey, str] = {
            "fresh": f"fresh {KIND_NAMES[settings.plugin]}",
            "merged": "Med-LEGO of the other tasks",
            "shape": "fresh SVD-LoRA of the merge's ranks",
        }
        return TransferResult(
            title=self.title,
            starts=tuple(
                TransferStart(
                    key=key,
                    label=label,
                    tasks={
                        name: {str(seed): _run(bench, name, seed, key) for seed in settings.seeds}
                        for name in settings.names
                    },
                )
                for key, label in labels.items()
            ),
            notes=(
                "Each task is left out once, and the others' plugins are merged by Med-LEGO, from plugins alone. All "
                "starts train by one recipe; the epoch is chosen on validation, which the curves show, and the "
                "test split is looked at once, with the plugin of that epoch.",
                "The control has a merge's ranks and is otherwise fresh, so what it gains is owed to size alone.",
                "The Med-LEGO paper's figure has no numbers to stand beside these.",
            ),
            provenance=provenance(bench, self.experiment, self.jobs(settings), out),
        )


def _merge(settings: BenchmarkSettings, left_out: str, seed: int) -> MergePlugins:
    others = tuple(name for name in settings.names if name != left_out)
    return MergePlugins(MED_LEGO, seed, others, settings.plugin)


def _before(settings: BenchmarkSettings, name: str, seed: int, start: StartKey) -> Before:
    # a fresh plugin of any shape changes nothing yet
    return Before(name, seed, _merge(settings, name, seed) if start == "merged" else None)


def _trained(settings: BenchmarkSettings, name: str, seed: int, start: StartKey) -> TrainedArtefact:
    if start == "fresh":
        return Train(name, seed, settings.plugin)
    return TrainAfterMerge(name, seed, _merge(settings, name, seed), start)


def _run(bench: Bench, name: str, seed: int, start: StartKey) -> TransferRun:
    trained = _trained(bench.settings, name, seed, start)
    record = trained.record(bench)
    before = _before(bench.settings, name, seed, start).record(bench)["acc"]
    return TransferRun(
        validation=(before, *(epoch["acc"] for epoch in record["epochs"])),
        chosen=record["best"]["epoch"],
        test=ScorePlugin(name, seed, trained).scores(bench).own,
    )
