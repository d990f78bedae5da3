"""Accuracy and what attacks achieve, against ε."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medforge.simulation.benchmark.experiments.plan import Plan
from medforge.simulation.benchmark.experiments.provenance import provenance
from medforge.simulation.benchmark.jobs.privacy import AttackMembers, read_released
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.privacy import PrivacyResult, Under
from medforge.simulation.benchmark.settings import BenchmarkSettings, Experiment

ACCURACY_NOTE = (
    "Accuracy on test images: the plugin's, and that of linear discriminants on the frozen base, which train nothing: "
    "of the class statistics that are sent under the same ε, and, exact, of all training images without any privacy."
)
ATTACK_NOTE = (
    "Attacks: members are training images, others validation and test images. Columns without shadows have the best of "
    "the audit's attacks on that part; LiRA trains shadows on random halves of all these images by the same recipe, "
    "noise included. An AUC of .5 is guessing; an attack is a lower bound of what a stronger one can do, ε an upper "
    "bound of what any can."
)


class Privacy(Plan):
    """Attack what sites send under some ε and without."""

    experiment = Experiment.PRIVACY
    title = "Accuracy and membership, against ε"

    def jobs(self, settings: BenchmarkSettings) -> list[AttackMembers]:
        """List the attacks, all without noise first, seed by seed."""
        epsilons = sorted(settings.epsilons, key=lambda epsilon: -(epsilon or float("inf")))
        return [
            AttackMembers(name, seed, epsilon, settings.distillation)
            for epsilon in epsilons
            for seed in settings.seeds
            for name in settings.names
        ]

    def collect(self, bench: Bench, out: Path) -> PrivacyResult:
        """Read every attack."""
        settings = bench.settings
        jobs = self.jobs(settings)
        return PrivacyResult(
            title=self.title,
            shadows=settings.shadows,
            points=tuple(
                Under(
                    task=name,
                    epsilon=epsilon,
                    seeds={
                        str(job.seed): read_released(bench, job)
                        for job in jobs
                        if (job.task, job.epsilon) == (name, epsilon)
                    },
                )
                for name in settings.names
                for epsilon in settings.epsilons
            ),
            notes=(ACCURACY_NOTE, ATTACK_NOTE, *_said(bench, jobs)),
            provenance=provenance(bench, self.experiment, jobs, out),
        )


def _said(bench: Bench, jobs: Sequence[AttackMembers]) -> list[str]:
    return sorted({f"{sentence}." for job in jobs for sentence in job.record(bench)["said"]})
