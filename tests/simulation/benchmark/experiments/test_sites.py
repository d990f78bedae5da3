"""`benchmark sites` on a very small base and a few drawn images: who is scored on what, and federated averaging."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medforge.client.evaluate import score_plugin
from medforge.client.train import Training
from medforge.errors import InvalidInput
from medforge.progress import Progress
from medforge.simulation.benchmark.computation import compute
from medforge.simulation.benchmark.jobs.artefacts import Train, assemble
from medforge.simulation.benchmark.jobs.fedavg import FedAvg, average
from medforge.simulation.benchmark.jobs.methods import within_a_task
from medforge.simulation.benchmark.jobs.pooled import pooled
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.results.sites import SitesResult
from medforge.simulation.benchmark.settings import BenchmarkSettings, Experiment, check_number, check_options
from medforge.simulation.centres import Centre
from tests.simulation.benchmark.test_run import QUICK

SMALL = "train=24,validation=8,test=16"
METHODS = ("ties", "model-soup", "regmean++")


def centre(name: str, of: str, task: str = "lung") -> Centre:
    return Centre(name=name, source=f"tissue:{of}", task=task)


SITES = (
    centre("north", f"lung,{SMALL}"),
    centre("south", "lung,train=12,validation=8,test=16"),
)


def bench_of(spec: str, out: Path, centres: tuple[Centre, ...] = SITES) -> Bench:
    settings = BenchmarkSettings(
        centres=centres,
        seeds=(0,),
        base=spec,
        recipe="tiny",
        changes=QUICK,
        device="cpu",
        dtype="fp32",
        methods=METHODS,
    )
    return Bench(settings, Store(out))


@pytest.fixture(scope="module")
def made(tiny_spec: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, SitesResult]:
    """The experiment, once."""
    bench = bench_of(tiny_spec, tmp_path_factory.mktemp("sites"))
    result = compute(bench.settings, Experiment.SITES, bench.store.path, 1)
    assert isinstance(result, SitesResult)
    return bench, result


def test_every_model_is_scored_on_every_centre(made: tuple[Bench, SitesResult]) -> None:
    bench, result = made
    assert [row.key for row in result.rows] == [
        "base", "lda", "lda-distilled", "alone/north", "alone/south", "regmean++", "regmean++-lda",
        "model-soup", "ties", "mean", "ties-by-images", "pooled", "all-distilled", "fedavg",
    ]  # fmt: skip
    assert result.centres == ("north", "south")
    for row in result.rows:
        assert set(row.seeds["0"]) == {"north", "south"}
    away = result.row("alone/north")
    assert away is not None
    plugin = Train("north", 0).plugin(bench)
    for name in result.centres:
        metrics = score_plugin(plugin, bench.base, bench.task(name, 0), "test")
        assert away.seeds["0"][name].own.acc == pytest.approx(metrics.acc)


def test_growth_ends_where_the_rows_are(made: tuple[Bench, SitesResult]) -> None:
    _, result = made
    assert [line.key for line in result.growth] == ["regmean++", "ties", "mean", "lda"]
    for line in result.growth:
        row = result.row(line.key)
        assert row is not None
        assert len(line.seeds["0"]) == 2
        assert line.seeds["0"][-1] == {name: row.seeds["0"][name].own.acc for name in result.centres}
        assert line.mean(2, result.centres).mean == pytest.approx(row.mean.acc.mean)


def test_a_single_branch_is_its_plugin(made: tuple[Bench, SitesResult]) -> None:
    _, result = made
    alone = result.row("alone/north")
    assert alone is not None
    mean = next(line for line in result.growth if line.key == "mean")
    assert mean.seeds["0"][0] == {name: alone.seeds["0"][name].own.acc for name in result.centres}


def test_what_is_sent_is_counted(made: tuple[Bench, SitesResult]) -> None:
    bench, result = made
    branches, rounds = result.traffic
    sizes = [assemble(bench, name, 0, "lora", "dm-dsa").manifest.files.values() for name in result.centres]
    assert branches.bytes == sum(entry.size for files in sizes for entry in files)
    record = FedAvg("lung", 0, result.centres).record(bench)
    plugin = FedAvg("lung", 0, result.centres).plugin(bench)
    assert rounds.rounds == len(record["rounds"])
    assert rounds.bytes == 2 * 2 * rounds.rounds * sum(map(len, plugin.files().values()))


def test_patients_are_not_tested_on_what_has_seen_them_elsewhere() -> None:
    three = (*SITES, centre("west", "lung,train=16,validation=8,test=16"))
    settings = BenchmarkSettings(centres=three, same_patients=(("north", "south"),))
    assert not settings.tested("north", ("south", "west"))
    assert settings.tested("north", ("north",))
    assert settings.tested("west", ("north", "south", "west"))
    assert "--same-patients north,south" in settings.command(Experiment.SITES, Path("out"))
    with pytest.raises(InvalidInput, match="every centre shares patients"):
        check_options(Experiment.SITES, settings.model_copy(update={"centres": SITES}))
    with pytest.raises(InvalidInput, match="there is no centre east"):
        check_options(Experiment.SITES, settings.model_copy(update={"same_patients": (("north", "east"),)}))


def test_the_results_are_written(made: tuple[Bench, SitesResult]) -> None:
    bench, _ = made
    out = bench.store.path
    for name in ("sites.json", "sites.csv", "sites-matrix.png", "sites-growth.png", "sites-matrix.svg"):
        assert (out / "results" / name).stat().st_size > 0
    page = (out / "report.html").read_text()
    assert "Home and away" in page
    assert "FedAvg" in page


def test_an_average_is_weighted_by_images_and_everybody_gets_it(tiny_spec: str, tmp_path: Path) -> None:
    bench = bench_of(tiny_spec, tmp_path)
    sites = [Training(bench.base, bench.task(name, 0), bench.recipe().train, 0) for name in ("north", "south")]
    alone = [Training(bench.base, bench.task(name, 0), bench.recipe().train, 0) for name in ("north", "south")]
    with Progress("averaging", 20) as bar:
        average(sites, bar)
        for site in alone:
            site.run_epoch(bar)
    for name, parameter in sites[0].parameters.items():
        expected = (24 * alone[0].parameters[name] + 12 * alone[1].parameters[name]) / 36
        torch.testing.assert_close(parameter, expected)
        torch.testing.assert_close(parameter, sites[1].parameters[name])


def test_one_centre_averages_to_what_it_trains_alone(tiny_spec: str, tmp_path: Path) -> None:
    bench = bench_of(tiny_spec, tmp_path)
    for job in (Train("north", 0), FedAvg("lung", 0, ("north",))):
        job.run(bench)
    first = FedAvg("lung", 0, ("north",)).record(bench)["rounds"]
    epochs = Train("north", 0).record(bench)["epochs"]
    assert [one["acc"] for one in first] == pytest.approx([one["acc"] for one in epochs])


def test_every_rule_inside_a_task_has_a_row() -> None:
    rules = {one.key: one.settings(0).expert for one in within_a_task(("routed",))}
    assert rules == {f"routed-{rule}": rule for rule in ("sites", "ties", "regmean++", "student")}


def test_pooling_puts_classes_under_their_prompts(tiny_spec: str, tmp_path: Path) -> None:
    bench = bench_of(tiny_spec, tmp_path)
    north, south = (bench.task(name, 0) for name in ("north", "south"))
    together = pooled("lung", [north, south])
    assert together.prompts == north.prompts
    assert torch.equal(together.train.images[:24], north.train.images[:])
    assert torch.equal(together.train.labels[24:], south.train.labels)
    assert together.validation.labels.tolist() == [*north.validation.labels.tolist(), *south.validation.labels.tolist()]


def test_centres_that_lack_classes_are_pooled_under_all_of_them(tiny_spec: str, tmp_path: Path) -> None:
    bench = bench_of(tiny_spec, tmp_path)
    north, south = (replace(bench.task(name, 0), folders=("a", "b", "c")) for name in ("north", "south"))
    lacking = replace(south, prompts=(*north.prompts[1:], "another"))
    together = pooled("lung", [north, lacking])
    assert together.prompts == (*north.prompts, "another")
    assert together.own_names == together.prompts
    assert torch.equal(together.train.labels[24:], lacking.train.labels + 1)


@pytest.mark.parametrize(
    ("experiment", "centres", "sentence"),
    [
        (Experiment.SITES, SITES[:1], "give at least 2 --centre"),
        (Experiment.SITES, (*SITES, centre("west", "colon", "colon")), "these have 2 tasks"),
        *(
            (experiment, (*SITES, centre("west", "colon", "colon")), "takes one centre a task, and lung has 2")
            for experiment in Experiment
            if experiment is not Experiment.SITES
        ),
    ],
)
def test_centres_that_do_not_fit_are_refused(
    experiment: Experiment, centres: tuple[Centre, ...], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        check_number(experiment, BenchmarkSettings(centres=centres))
