"""The experiments of Med-LEGO on a very small base and a few drawn images."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.cli import build_app
from medforge.client.data.catalogue import open_task
from medforge.client.evaluate import score_base, score_plugin
from medforge.errors import InvalidInput
from medforge.plugin import Plugin
from medforge.simulation.benchmark.experiments.catalogue import check_labels, plan_for
from medforge.simulation.benchmark.jobs.artefacts import Distil, Train, assemble
from medforge.simulation.benchmark.jobs.methods import MED_LEGO, TRAINING_FREE, routed
from medforge.simulation.benchmark.jobs.plugin_merges import MergePlugins
from medforge.simulation.benchmark.jobs.pool import in_order_of_need
from medforge.simulation.benchmark.jobs.scores import ScorePlugin
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.jobs.transfers import Before, TrainAfterMerge, merged_plugin
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.result import Result, TableResult, TransferResult
from medforge.simulation.benchmark.settings import DOMAIN_CENTRES, BenchmarkSettings, Experiment
from medforge.simulation.centres import Centre
from tests.aggregator.forges import UNEXAMINED

SMALL = "train=24,validation=8,test=16"
TISSUE = tuple(Centre(name=name, source=f"tissue:{name},{SMALL}") for name in ("breast", "colon", "lung"))
CHEST = (*TISSUE[:1], Centre(name="chest", source=f"findings:chest,{SMALL}"))
QUICK = (
    "train.max_steps=6", "train.batch=8", "train.plugin.rank=2", "distill.steps=3", "distill.ipc=2",
    "distill.real_batch=4", "distill.candidates=1", "distill.score_steps=2", "distill.extractor_rank=2",
)  # fmt: skip


def bench_of(spec: str, out: Path, centres: tuple[Centre, ...] = TISSUE) -> Bench:
    settings = BenchmarkSettings(
        centres=centres, seeds=(0,), base=spec, recipe="tiny", changes=QUICK, device="cpu", dtype="fp32"
    )
    return Bench(settings, Store(out))


def compute(experiment: Experiment, bench: Bench) -> Result:
    plan = plan_for(experiment)
    check_labels(plan, bench)
    for job in in_order_of_need(plan.jobs(bench.settings)):
        if not job.done(bench):
            job.run(bench)
    return plan.collect(bench, bench.store.path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of artefacts."""
    return tmp_path_factory.mktemp("lego")


def test_lego_has_every_method_on_svd_lora_plugins(tiny_spec: str, shared: Path) -> None:
    bench = bench_of(tiny_spec, shared)
    result = compute(Experiment.LEGO, bench)
    assert isinstance(result, TableResult)
    assert [row.key for row in result.rows] == [
        "base", "lda", "lda-distilled", "single-task", "med-lego", "model-soup", "factor-average", "task-arithmetic",
        "ties", "dare", "pem", "magmax", "lorahub", "fusion", "mixture-sequential", "mixture-joint", "mixture-gated",
        "mixture-layer-joint", *(merger.key for merger in routed()),
    ]  # fmt: skip
    assert result.rows[3].label == "SVD-LoRA supervised, one a task"
    assert {row.key for row in result.rows if row.group == "training-free"} == {m.key for m in TRAINING_FREE}
    for row in result.rows:
        assert set(row.seeds["0"]) == {"breast", "colon", "lung"}
        assert all(score.union is not None for score in row.seeds["0"].values())
    kind = result.provenance.recipes["svd-lora"]["plugin"]["kind"]
    assert kind == Train("lung", 0, "svd-lora").plugin(bench).settings.kind == "svd-lora"
    # all plugins are part of a branch
    assert len(result.provenance.branches) == 3
    assert result.provenance.plugins == {}
    assert "--plugin svd-lora" in result.provenance.command
    size = next(note for note in result.notes if note.startswith("Med-LEGO's plugin"))
    ranks = merged_plugin(MergePlugins(MED_LEGO, 0, bench.settings.names, "svd-lora"), bench).factors.values()
    mean = sum(len(factors.down) for factors in ranks) / len(ranks)
    assert f"rank {mean:.1f} a layer" in size
    assert "each of the 3 it was made of: rank 2.0" in size


def test_a_merge_of_plugins_is_what_a_forge_makes_of_their_branches(
    tiny_spec: str, shared: Path, tmp_path: Path
) -> None:
    bench = bench_of(tiny_spec, shared)
    names = bench.settings.names
    for name in names:
        for job in in_order_of_need([Distil(name, 0, "dm-dsa", "svd-lora")]):
            if not job.done(bench):
                job.run(bench)
    # what DARE drops follows from the digest that a plugin goes by
    for merger in (merger for merger in TRAINING_FREE if merger.key != "dare"):
        forge = Forge.establish(tmp_path / merger.key, bench.base, merger.settings(0), policy=UNEXAMINED)
        main = MainBranch(forge, bench.base)
        for name in names:
            main.fold(forge.admit(assemble(bench, name, 0, "svd-lora", "dm-dsa"), bench.base).number)
        folded = main.checkout().weight_change(bench.base)
        forge.close()
        here = MergePlugins(merger, 0, names, "svd-lora").item(bench).weight_change(bench.base)
        for site, change in folded.items():
            torch.testing.assert_close(here[site], change, atol=1e-6, rtol=1e-4)


def test_training_free_merges_need_no_distilled_data_and_have_no_order() -> None:
    one = MergePlugins(MED_LEGO, 0, ("breast", "lung"), "svd-lora")
    assert one.needs == (Train("breast", 0, "svd-lora"), Train("lung", 0, "svd-lora"))
    assert one.needs == MergePlugins(MED_LEGO, 0, ("lung", "breast"), "svd-lora").needs
    settings = BenchmarkSettings(centres=CHEST)
    for experiment in (Experiment.LEGO_DOMAIN, Experiment.LEGO_TRANSFER):
        assert not any(isinstance(job, Distil) for job in in_order_of_need(plan_for(experiment).jobs(settings)))


def test_lego_domain_takes_multi_label_tasks_and_has_no_union(tiny_spec: str, shared: Path) -> None:
    bench = bench_of(tiny_spec, shared, CHEST)
    result = compute(Experiment.LEGO_DOMAIN, bench)
    assert isinstance(result, TableResult)
    assert [row.key for row in result.rows] == ["base", "lda", "single-task", *(merger.key for merger in TRAINING_FREE)]
    assert all(score.union is None for row in result.rows for score in row.seeds["0"].values())
    chest = bench.task("chest", 0)
    metrics = score_plugin(Train("chest", 0, "svd-lora").plugin(bench), bench.base, chest, "test")
    own = result.rows[2].seeds["0"]["chest"].own
    assert own.acc == pytest.approx(metrics.acc)
    assert own.auc == pytest.approx(metrics.auc)
    findings = result.rows[1].seeds["0"]["chest"].own
    assert 0 <= findings.acc <= 1
    assert findings != own
    assert [task.multi_label for task in result.provenance.tasks] == [False, True]
    assert set(result.provenance.plugins) == {"breast, seed 0, svd-lora", "chest, seed 0, svd-lora"}
    assert any(note.startswith("Multi-label (chest)") for note in result.notes)


def test_what_cannot_be_distilled_is_refused_before_anything_is_computed(tiny_spec: str, tmp_path: Path) -> None:
    for experiment in (Experiment.LEGO, Experiment.TABLE1, Experiment.FIGURE5):
        with pytest.raises(InvalidInput, match=f"chest may have several findings.*{experiment} needs; use lego-domain"):
            compute(experiment, bench_of(tiny_spec, tmp_path, CHEST))
    assert not (tmp_path / "artefacts").exists()


def test_lego_transfer_trains_the_task_left_out_from_the_others(tiny_spec: str, shared: Path) -> None:
    bench = bench_of(tiny_spec, shared)
    result = compute(Experiment.LEGO_TRANSFER, bench)
    assert isinstance(result, TransferResult)
    fresh, merged, _ = result.starts
    assert [start.key for start in result.starts] == ["fresh", "merged", "shape"]
    for name in bench.settings.names:
        runs = [start.tasks[name]["0"] for start in result.starts]
        # 24 images in batches of 8, six steps: two epochs
        assert [len(run.validation) for run in runs] == [3, 3, 3]
        task = bench.task(name, 0)
        alone = score_base(bench.base, task, "validation").acc
        assert runs[0].validation[0] == runs[2].validation[0] == alone
        others = tuple(other for other in bench.settings.names if other != name)
        merge = MergePlugins(MED_LEGO, 0, others, "svd-lora")
        begin = merged_plugin(merge, bench)
        assert runs[1].validation[0] == score_plugin(begin, bench.base, task, "validation").acc
        after, control = (TrainAfterMerge(name, 0, merge, start) for start in ("merged", "shape"))
        for plugin in (after.plugin(bench), control.plugin(bench)):
            assert plugin.settings.ranks == begin.settings.ranks
            assert plugin.settings.rank == begin.settings.rank
        assert Train(name, 0, "svd-lora").record(bench)["best"]["epoch"] == fresh.tasks[name]["0"].chosen
        assert merged.tasks[name]["0"].test == ScorePlugin(name, 0, after).scores(bench).own
        assert nearest(after.plugin(bench), begin) < nearest(control.plugin(bench), begin)
    assert len(result.provenance.plugins) == 3


def nearest(plugin: Plugin, start: Plugin) -> float:
    """Return the mean distance of two plugins' factors B."""
    return float(
        torch.stack([(plugin.factors[site].up - start.factors[site].up).norm() for site in plugin.sites]).mean()
    )


def test_what_is_trained_after_a_merge_is_kept_by_what_was_merged(tiny_spec: str, tmp_path: Path) -> None:
    bench = bench_of(tiny_spec, tmp_path)
    merges = [MergePlugins(MED_LEGO, 0, others, "svd-lora") for others in (("breast", "colon"), ("breast",))]
    jobs = [TrainAfterMerge("lung", 0, merge, start) for merge in merges for start in ("merged", "shape")]
    jobs.append(TrainAfterMerge("lung", 0, MergePlugins(MED_LEGO, 0, ("breast",), "lora"), "merged"))
    places = [job.place(bench) for job in jobs]
    places += [Before("lung", 0, merge).place(bench) for merge in (*merges, None)]
    assert len(set(places)) == len(places)


def test_without_centres_the_domain_is_drawn_chest_films_one_of_them_multi_label(tmp_path: Path) -> None:
    tasks = [open_task(f"{centre.source},{SMALL}", 32, 0, tmp_path) for centre in DOMAIN_CENTRES]
    assert [task.multi_label for task in tasks] == [False, True, False]


@pytest.mark.parametrize("experiment", ["table1", "orders", "table3", "table4", "figure5"])
def test_only_the_lego_experiments_take_a_plugin_kind(experiment: str, tmp_path: Path) -> None:
    words = ["benchmark", experiment, "--plugin", "dora", "--out", str(tmp_path / "out")]
    with pytest.raises(InvalidInput, match=f"--plugin dora cannot be used with {experiment}.*lego, lego-domain"):
        CliRunner().invoke(build_app(), words, catch_exceptions=False)
    assert not (tmp_path / "out").exists()
