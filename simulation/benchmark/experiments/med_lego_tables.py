"""The tables of Med-LEGO: every way to merge SVD-LoRA plugins across domains, and the training-free ones within one."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from medforge.plugin import PluginKind
from medforge.simulation.benchmark.experiments import published_med_lego
from medforge.simulation.benchmark.experiments.notes import BUDGET_NOTE, HEAD_NOTE, UNION_NOTE
from medforge.simulation.benchmark.experiments.table_plan import PaperTable
from medforge.simulation.benchmark.jobs.methods import (
    FUSION,
    GATED,
    JOINT,
    LAYER_JOINT,
    LORAHUB,
    MED_LEGO,
    SEQUENTIAL,
    TRAINING_FREE,
    routed,
)
from medforge.simulation.benchmark.jobs.plugin_merges import MergePlugins, mean_rank
from medforge.simulation.benchmark.jobs.rows import (
    KIND_NAMES,
    RowPlan,
    base_alone,
    head_of_distilled_images,
    head_of_real_images,
    merged,
    merged_plugins,
    single_task,
)
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.rows import PaperScore, Row
from medforge.simulation.benchmark.settings import BenchmarkSettings, Experiment

PAPER_NOTE = (
    "The Med-LEGO paper's numbers are accuracies of one model merged from seven MedMNIST sets: a ViT with a head for "
    "each task. Ours is a CLIP with class prompts, merged from the tasks here. They stand beside ours where the data "
    "set is one of the seven; its average is over the sets here, where all of them are."
)


class LegoTable(PaperTable):
    """Hold what the tables of Med-LEGO have in common: the base, the plugins alone, and the training-free family."""

    def plans(self, settings: BenchmarkSettings) -> Sequence[RowPlan]:
        """List the rows."""
        free = [merged_plugins(merger, settings.plugin) for merger in TRAINING_FREE]
        return (base_alone(), head_of_real_images(), single_task(settings.plugin), *free)

    def remarks(self, bench: Bench) -> tuple[str, ...]:
        """Add the parameters of the training-free methods, and how large the merged plugin is."""
        return (free_note(bench.settings.plugin), size_note(bench), *self.notes)


class Lego(LegoTable):
    """Merge tasks of different organs and modalities by every method."""

    experiment = Experiment.LEGO
    title = "Med-LEGO, cross-domain"
    notes = (HEAD_NOTE, BUDGET_NOTE, UNION_NOTE, PAPER_NOTE)

    def plans(self, settings: BenchmarkSettings) -> Sequence[RowPlan]:
        """Add the methods that search on distilled data."""
        mergers = (LORAHUB, FUSION, SEQUENTIAL, JOINT, GATED, LAYER_JOINT, *routed())
        alone, real, *others = super().plans(settings)
        from_distilled = head_of_distilled_images(kind=settings.plugin)
        return (alone, real, from_distilled, *others, *(merged(m, kind=settings.plugin) for m in mergers))

    def beside(self, row: Row, settings: BenchmarkSettings) -> Row:
        """Add the paper's accuracies on the sets that are the paper's, and their average where all are."""
        theirs = published_med_lego.cross_domain(row.key)
        sets = {name: published_med_lego.data_set(settings.source(name)) for name in settings.names}
        same = {name: theirs[found] for name, found in sets.items() if found is not None and theirs}
        whole = len(same) == len(sets)
        mean = PaperScore(acc=fmean(score.acc for score in same.values())) if whole else None
        return row.model_copy(update={"paper": same, "paper_mean": mean})


class LegoDomain(LegoTable):
    """Merge tasks of one domain, also multi-label ones, by the methods that need plugins alone."""

    experiment = Experiment.LEGO_DOMAIN
    title = "Med-LEGO, in-domain"
    notes = (HEAD_NOTE,)
    distils = False

    def remarks(self, bench: Bench) -> tuple[str, ...]:
        """Say how multi-label tasks are scored, and why there is no union."""
        if not bench.multi_label:
            return (*super().remarks(bench), UNION_NOTE)
        names = ", ".join(bench.multi_label)
        return (
            *super().remarks(bench),
            f"Multi-label ({names}): for each finding the model chooses between its prompt and the one without it; ACC "
            "is the mean over images and findings, AUC the mean over findings. Findings of one image do not exclude "
            "each other, so there is no accuracy among the prompts of all tasks.",
        )

    def beside(self, row: Row, settings: BenchmarkSettings) -> Row:
        """Leave the row as it is: nothing of the paper's can stand beside it."""
        return row


def free_note(kind: PluginKind) -> str:
    """Say what the training-free methods use, and at which parameters."""
    settings = [(merger.label, merger.settings(0).parameters) for merger in TRAINING_FREE]
    parts = [
        f"{label} {', '.join(f'{name} {value:g}' for name, value in values.items())}"
        for label, values in settings
        if values
    ]
    return (
        f"Training-free: from the {KIND_NAMES[kind]} plugins alone, without images, distilled data or an order; at "
        f"parameters from the literature, none of them tuned here: {'; '.join(parts)}."
    )


def size_note(bench: Bench) -> str:
    """Say how large the plugin is that Med-LEGO makes, a mean over seeds, beside one of those it was made of."""
    settings = bench.settings
    jobs = [MergePlugins(MED_LEGO, seed, settings.names, settings.plugin) for seed in settings.seeds]
    records = [job.record(bench) for job in jobs]
    plugins = [trained.plugin(bench) for job in jobs for trained in job.trained]
    merged_size, own_size = (
        fmean(r["bytes"] for r in records),
        fmean(sum(map(len, p.files().values())) for p in plugins),
    )
    return (
        f"Med-LEGO's plugin: rank {fmean(r['mean_rank'] for r in records):.1f} a layer on average and "
        f"{merged_size / 1e6:.2f} MB; each of the {len(settings.names)} it was made of: rank "
        f"{fmean(map(mean_rank, plugins)):.1f} and {own_size / 1e6:.2f} MB."
    )
