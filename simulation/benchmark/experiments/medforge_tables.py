"""Tables 1, 3 and 4 of the paper."""

from __future__ import annotations

from collections.abc import Sequence

from medforge.plugin import PluginKind
from medforge.simulation.benchmark.experiments import published_medforge
from medforge.simulation.benchmark.experiments.notes import BUDGET_NOTE, HEAD_NOTE, UNION_NOTE
from medforge.simulation.benchmark.experiments.table_plan import PaperTable
from medforge.simulation.benchmark.jobs.methods import (
    FACTOR_AVERAGE,
    FUSION,
    FUSION_REFERENCE,
    GATED,
    JOINT,
    LAYER_JOINT,
    LAYER_SEQUENTIAL,
    LORAHUB,
    LORAHUB_RAW,
    MODEL_SOUP,
    SEQUENTIAL,
    SEQUENTIAL_REFERENCE,
    Merger,
    routed,
)
from medforge.simulation.benchmark.jobs.rows import (
    RowPlan,
    base_alone,
    distilled_only,
    head_of_distilled_images,
    head_of_real_images,
    merged,
    single_task,
)
from medforge.simulation.benchmark.results.rows import Row, Variant
from medforge.simulation.benchmark.settings import BenchmarkSettings, Experiment

OBJECTIVE_NOTE = (
    "Reference objective: the published scripts' (softmaxed outputs into cross-entropy; of a mixture the composed "
    "weights, not normalised, with L1 on all of them); all other rows use cross-entropy on the merged model's "
    "probabilities."
)
PAPER_NOTE = (
    "The paper's numbers are of ViT-B/16 CLIP on its own splits (LC25000: random images). They stand beside ours where "
    "the data set is one of its; its averages are over BreakHis, LC25000 and MedFMC-Colon, whatever the tasks here."
)


class Table1(PaperTable):
    """Compare merge methods: upper bounds, baselines, the paper's two merges, ours, and the reference objective."""

    experiment = Experiment.TABLE1
    title = "Table 1: merge methods"
    notes = (HEAD_NOTE, BUDGET_NOTE, OBJECTIVE_NOTE, UNION_NOTE, PAPER_NOTE)

    def plans(self, settings: BenchmarkSettings) -> Sequence[RowPlan]:
        """List the rows."""
        mergers: tuple[Merger, ...] = (
            MODEL_SOUP, FACTOR_AVERAGE, LORAHUB_RAW, LORAHUB, FUSION, SEQUENTIAL, JOINT, GATED, LAYER_SEQUENTIAL,
            LAYER_JOINT, FUSION_REFERENCE, SEQUENTIAL_REFERENCE,
        )  # fmt: skip
        return (
            base_alone(),
            head_of_real_images(),
            head_of_distilled_images(),
            single_task(),
            distilled_only(),
            *(merged(merger) for merger in (*mergers, *routed())),
        )

    def beside(self, row: Row, settings: BenchmarkSettings) -> Row:
        """Add the paper's scores of the data sets that are the paper's, and its average."""
        theirs = published_medforge.table1(row.key)
        sources = {name: settings.source(name).partition(":")[0] for name in settings.names}
        same = {
            name: published_medforge.DATA_SETS[kind]
            for name, kind in sources.items()
            if kind in published_medforge.DATA_SETS
        }
        beside = {name: theirs[data_set] for name, data_set in same.items() if theirs}
        return row.model_copy(update={"paper": beside, "paper_mean": theirs.get(published_medforge.AVERAGE)})


class Table3(PaperTable):
    """Compare distillation methods."""

    experiment = Experiment.TABLE3
    title = "Table 3: distillation methods"
    notes = (
        "DC-DSA matches gradients of a plugin's factors on the frozen base; in the small recipes with shortened loops, "
        "and without the centre's own plugin, which DM and DM-DSA use (see the recipes).",
        HEAD_NOTE,
        BUDGET_NOTE,
        UNION_NOTE,
        PAPER_NOTE,
    )
    distillations = (
        Variant(key="dc-dsa", name="DC-DSA"), Variant(key="dm-dsa", name="DM-DSA"), Variant(key="dm", name="DM"),
    )  # fmt: skip

    def plans(self, settings: BenchmarkSettings) -> list[RowPlan]:
        """List the rows, a few for each distillation method."""
        mergers = (FUSION, SEQUENTIAL, JOINT, GATED, *routed())
        return [
            head_of_real_images(),
            *(
                plan.under(variant)
                for variant in self.distillations
                for plan in (
                    head_of_distilled_images(variant.key),
                    distilled_only(variant.key),
                    *(merged(merger, variant.key) for merger in mergers),
                )
            ),
        ]

    def beside(self, row: Row, settings: BenchmarkSettings) -> Row:
        """Add the paper's average."""
        if row.variant is None:
            return row
        return row.model_copy(update={"paper_mean": published_medforge.table3(row.method, row.variant.key)})


class Table4(PaperTable):
    """Compare merge methods with DoRA plugins in place of LoRA."""

    experiment = Experiment.TABLE4
    title = "Table 4: DoRA plugins"
    kind: PluginKind = "dora"
    notes = (
        "A DoRA's magnitude is fused by its difference from the frozen weight's row lengths, so that one plugin at "
        "weight 1 is the identity.",
        HEAD_NOTE,
        BUDGET_NOTE,
        UNION_NOTE,
        PAPER_NOTE,
    )

    def plans(self, settings: BenchmarkSettings) -> Sequence[RowPlan]:
        """List the rows."""
        mergers = (MODEL_SOUP, FACTOR_AVERAGE, LORAHUB_RAW, LORAHUB, FUSION, SEQUENTIAL, JOINT, GATED, *routed())
        return (
            head_of_real_images(),
            head_of_distilled_images(kind=self.kind),
            single_task(self.kind),
            distilled_only(kind=self.kind),
            *(merged(merger, kind=self.kind) for merger in mergers),
        )

    def beside(self, row: Row, settings: BenchmarkSettings) -> Row:
        """Add the paper's average."""
        return row.model_copy(update={"paper_mean": published_medforge.table4(row.key)})
