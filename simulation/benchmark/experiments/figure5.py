"""Figure 5 of the paper: real and distilled images in the plane, class by class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from medforge.simulation.benchmark.experiments.plan import Plan
from medforge.simulation.benchmark.experiments.provenance import provenance
from medforge.simulation.benchmark.jobs.artefacts import Distil, GatherFacts
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.result import FigureResult, PlanePoint
from medforge.simulation.benchmark.settings import DEFAULT_DISTILLATION, BenchmarkSettings, Experiment
from medforge.simulation.material import gather


class Figure5(Plan):
    """Lay test images and distilled images of every task out together by t-SNE, for the first seed."""

    experiment = Experiment.FIGURE5
    title = "Figure 5: real and distilled images"

    def jobs(self, settings: BenchmarkSettings) -> list[Job]:
        """Distil, and put the branches together whose digests are reported."""
        return [GatherFacts(name, settings.seeds[0], DEFAULT_DISTILLATION) for name in settings.names]

    def collect(self, bench: Bench, out: Path) -> FigureResult:
        """Compute every task's plane."""
        points = [point for name in bench.settings.names for point in self._points(bench, name)]
        return FigureResult(
            title=self.title,
            points=tuple(points),
            notes=(
                "t-SNE of unit-length embeddings by the base module alone, up to 80 test images a class beside the "
                "distilled ones, of the first seed; one layout a task. Distances between far clusters mean little.",
            ),
            provenance=provenance(bench, self.experiment, self.jobs(bench.settings), out, bench.settings.seeds[:1]),
        )

    def _points(self, bench: Bench, name: str) -> Iterator[PlanePoint]:
        seed = bench.settings.seeds[0]
        dataset = Distil(name, seed, DEFAULT_DISTILLATION).dataset(bench)
        for kind in gather(bench.base, name, bench.task(name, seed), dataset, seed).classes:
            for distilled, places in ((False, kind.cloud.real), (True, kind.cloud.distilled)):
                for x, y in places.tolist():
                    yield PlanePoint(task=name, prompt=kind.prompt, distilled=distilled, x=x, y=y)
