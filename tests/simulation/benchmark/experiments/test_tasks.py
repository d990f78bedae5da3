"""`benchmark tasks` on a very small base and a few drawn images."""

import csv
from pathlib import Path

import pytest
import torch

from medforge.class_statistics import ClassStatistics
from medforge.seeds import generator
from medforge.simulation.benchmark.computation import compute
from medforge.simulation.benchmark.heads.catalogue import HEADS
from medforge.simulation.benchmark.heads.gaussian import lda
from medforge.simulation.benchmark.heads.moments import ClassMoments, gaussians
from medforge.simulation.benchmark.jobs.abstention import strangeness, strangers
from medforge.simulation.benchmark.jobs.artefacts import Distil, GatherFacts, assemble
from medforge.simulation.benchmark.jobs.calibrate import without_temperature
from medforge.simulation.benchmark.jobs.merges import Folding, Merge
from medforge.simulation.benchmark.jobs.methods import every_merge
from medforge.simulation.benchmark.jobs.rows import head_of_a_network
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.tasks import TasksResult
from medforge.simulation.benchmark.settings import BenchmarkSettings, Experiment
from medforge.simulation.centres import Centre
from medforge.task_spread import FURTHEST, TaskSpread, quantiles
from tests.simulation.benchmark.test_run import QUICK

SMALL = "train=24,validation=8,test=16"
TISSUE = tuple(Centre(name=name, source=f"tissue:{name},{SMALL}") for name in ("breast", "lung"))
FOREIGN = (Centre(name="films", source=f"findings:pneumonia,{SMALL}"),)
METHODS = ("ties", "mixture", "routed", "regmean++")


def bench_of(spec: str, out: Path) -> Bench:
    settings = BenchmarkSettings(
        centres=TISSUE, seeds=(0,), base=spec, recipe="tiny", changes=QUICK, device="cpu", dtype="fp32",
        methods=METHODS, foreign=FOREIGN,
    )  # fmt: skip
    return Bench(settings, Store(out))


@pytest.fixture(scope="module")
def made(tiny_spec: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, TasksResult]:
    """The experiment, once."""
    bench = bench_of(tiny_spec, tmp_path_factory.mktemp("tasks"))
    result = compute(bench.settings, Experiment.TASKS, bench.store.path, 1)
    assert isinstance(result, TasksResult)
    return bench, result


def test_the_table_has_every_head_and_the_methods_that_were_asked_for(made: tuple[Bench, TasksResult]) -> None:
    _, result = made
    keys = [row.key for row in result.rows]
    assert keys[: 3 + len(HEADS)] == ["base", *(head.key for head in HEADS), "lda-distilled", "single-task"]
    assert keys[3 + len(HEADS) :] == [
        "routed", "routed-distilled", "mixture-gated", "regmean++", "regmean++-lda", "mixture-sequential", "ties",
    ]  # fmt: skip
    assert all(score.union is not None for row in result.rows for score in row.seeds["0"].values())


def test_a_head_on_a_merged_network_is_of_distilled_images_as_it_embeds_them(made: tuple[Bench, TasksResult]) -> None:
    bench, result = made
    row = next(row for row in result.rows if row.key == "regmean++-lda")
    assert (row.role, row.group) == ("head", "one network")
    (merger,) = every_merge(("regmean++",))
    merge = Merge(merger, 0, (("breast", "lung"),))
    item = merge.item(bench, merge.orders[0])
    assert item.files() == Folding(bench, merge).item(merge.orders[0])[0].files()
    change = item.weight_change(bench.base)
    (job,) = head_of_a_network(merger).jobs(bench.settings, 0)
    chosen = job.record(bench)["chosen"]["own"]
    for name in ("breast", "lung"):
        dataset, task = Distil(name, 0).dataset(bench), bench.task(name, 0)
        rows = bench.base.embed_all(dataset.images.float(), change)
        head = lda(gaussians([ClassMoments.of(rows, dataset.labels, len(task.prompts))]), *chosen)
        seen = bench.base.embed_all(bench.base.normalise(task.test.images[:]), change)
        expected = float((head(seen).argmax(dim=1) == task.test.labels).double().mean())
        assert row.seeds["0"][name].own.acc == pytest.approx(expected)


def test_every_sort_of_strangers_is_shown_to_both_routers(made: tuple[Bench, TasksResult]) -> None:
    _, result = made
    assert [found.key for found in result.abstention] == ["real", "distilled"]
    for found in result.abstention:
        assert found.names == ("breast", "lung", "noise", "films")
        assert [one.count for one in found.seeds["0"]] == [16, 16, 200, 48]


def test_calibration_and_cost_are_measured(made: tuple[Bench, TasksResult]) -> None:
    _, result = made
    keys = [one.key for one in result.calibration]
    assert keys == ["own-plugins/own", "routed/own", "routed/union"]
    for one in result.calibration:
        assert sum(found.count for found in one.before["0"].bins) == 32
    cost = {one.key: one.passes for one in result.cost}
    assert cost["mixture-joint"] == (1.0, 2.0)
    assert cost["model-soup"] == (1.0, 1.0)
    assert cost[result.cost[0].key] == (2.0, 2.0)


def test_the_results_are_written(made: tuple[Bench, TasksResult]) -> None:
    bench, _ = made
    out = bench.store.path
    for name in ("bars", "strangers", "calibration", "cost"):
        assert (out / "results" / f"tasks-{name}.png").stat().st_size > 0
    rows = list(csv.DictReader((out / "results" / "tasks.csv").open()))
    measures = {row["measure"] for row in rows}
    assert {"own_acc", "union_acc", "auroc", "refused", "calibration_error_after", "passes"} <= measures
    assert "Images of no task" in (out / "report.html").read_text()


def test_a_branch_says_what_its_centre_would_say(made: tuple[Bench, TasksResult]) -> None:
    bench, _ = made
    branch = assemble(bench, "lung", 0, "lora", "dm-dsa")
    said = GatherFacts("lung", 0).found(bench)
    manifest = branch.manifest
    assert manifest.class_counts == tuple(torch.bincount(bench.task("lung", 0).train.labels).tolist())
    assert manifest.distances == said.distances
    assert manifest.temperature == said.temperature
    silent = assemble(bench, "lung", 0, "lora", "dm-dsa", statistics=False)
    assert silent.statistics is None
    assert silent.manifest.distances is not None
    stripped = without_temperature(branch)
    assert stripped.manifest.temperature is None
    assert stripped.manifest.distances == manifest.distances


def test_what_lies_far_from_every_class_is_strange() -> None:
    chance = generator(0, "test", "abstention")
    rows = torch.randn(200, 4, generator=chance)
    labels = torch.arange(200) % 2
    rows[labels == 1] += 6
    spread = TaskSpread.of(ClassStatistics.of(rows, labels, 2), 0.0)
    spread = TaskSpread(spread.means, spread.weights, spread.covariance, quantiles(spread.nearest(rows)))
    found = strangers("far", "noise", [spread], [rows], rows + 40)
    assert (found.auroc, found.accepted, found.passed) == (1.0, 0.0, 0.0)
    assert found.refused == pytest.approx(1 - FURTHEST, abs=0.006)
    same = strangers("same", "noise", [spread], [rows], rows)
    assert same.auroc == pytest.approx(0.5)
    assert same.accepted == pytest.approx(0.95, abs=0.006)
    assert float(strangeness([spread], rows).median()) < 1
