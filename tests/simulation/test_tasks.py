"""Several centres with one question: `medforge simulate` with real processes, real gRPC and a real forge."""

import base64
import csv
from pathlib import Path

import pytest
from click.testing import Result

from medforge.aggregator.forge.forge import Forge
from medforge.assessment.digits import spell_estimate
from medforge.base import load_base
from medforge.client.data.catalogue import open_task
from medforge.forge_item import Routed
from medforge.metrics import score
from medforge.simulation.result import SimulationResult
from tests.simulation.test_run import command, result_of, run_here

LUNG = "tissue:lung,train=48,validation=12,test=24"
CENTRES = ("--centre", f"lung={LUNG}", "--centre", "colon=tissue:colon,train=24,validation=8,test=16")
DIVIDED = (*CENTRES, "--divide", "lung=2:missing-class", "--order", "lung-2,colon,lung-1", "--figures")


@pytest.fixture(scope="module")
def run(tiny_spec: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result, SimulationResult]:
    """Run two centres of one task, each of which lacks a class, and one of another."""
    out = tmp_path_factory.mktemp("tasks") / "run"
    done = run_here(command(tiny_spec, out, *DIVIDED))
    assert done.exit_code == 0, done.stderr
    return out, done, result_of(out)


def test_contributor_and_task_are_told_apart(run: tuple[Path, Result, SimulationResult]) -> None:
    out, _, result = run
    assert [(c.name, c.task, c.arrival) for c in result.centres] == [
        ("lung-1", "lung", 3), ("lung-2", "lung", 1), ("colon", "colon", 2),
    ]  # fmt: skip
    forge = Forge.open(out / "forge")
    try:
        manifests = [forge.load_branch(number).manifest for number in (1, 2, 3)]
    finally:
        forge.close()
    assert [(m.contributor, m.task) for m in manifests] == [("lung-2", "lung"), ("colon", "colon"), ("lung-1", "lung")]
    lung = result.tasks[0]
    assert len(lung.prompts) == 3
    assert set(manifests[0].prompts) | set(manifests[2].prompts) == set(lung.prompts)
    assert manifests[0].prompts != manifests[2].prompts


def test_a_task_is_scored_on_all_its_centres_images(run: tuple[Path, Result, SimulationResult], tiny_spec: str) -> None:
    out, _, result = run
    lung, colon = result.tasks
    assert (lung.name, lung.centres, lung.test_images) == ("lung", ("lung-1", "lung-2"), 24)
    assert (colon.name, colon.centres, colon.test_images) == ("colon", ("colon",), 16)
    assert result.shared == (lung,)
    assert set(lung.away) == set(lung.alone) == {"lung-1", "lung-2"}
    assert all(set(row) == {"lung-1", "lung-2"} for row in lung.away.values())
    base = load_base(tiny_spec, "cpu")
    whole = open_task(LUNG, base.image_size, result.seed).test
    forge = Forge.open(out / "forge")
    try:
        plugin = forge.load_branch(1).plugin
    finally:
        forge.close()
    images = base.normalise(whole.images[:])
    logits = base.logits(base.embed(images, plugin.deltas(base)), lung.prompts).detach()
    prompts = open_task(LUNG, base.image_size).prompts
    places = [lung.prompts.index(prompt) for prompt in prompts]
    expected = score(logits[:, places], whole.labels)
    assert lung.alone["lung-2"].acc == pytest.approx(expected.acc, abs=1e-9)
    assert lung.alone["lung-2"].auc == pytest.approx(expected.auc, abs=1e-6)


def test_every_round_scores_centres_and_tasks(run: tuple[Path, Result, SimulationResult]) -> None:
    _, _, result = run
    for round_ in result.rounds:
        assert set(round_.metrics) == {"lung-1", "lung-2", "colon"}
        assert set(round_.tasks) == {"lung", "colon"}
        assert round_.mean is not None
        assert round_.mean.acc == pytest.approx(sum(s.acc for s in round_.tasks.values()) / 2)
        sizes = {c.name: c.test_images or 0 for c in result.centres}
        parts = sum(sizes[name] * round_.metrics[name].acc for name in ("lung-1", "lung-2"))
        assert round_.tasks["lung"].acc == pytest.approx(parts / 24)
    last = result.rounds[-1]
    assert {task.name: task.merged for task in result.tasks} == last.tasks
    for centre in result.centres:
        assert centre.merged == last.metrics[centre.name]
        task = next(task for task in result.tasks if task.name == centre.task)
        assert centre.individual == task.away[centre.name][centre.name]


def test_the_last_main_branch_is_measured_class_by_class(run: tuple[Path, Result, SimulationResult]) -> None:
    out, _, result = run
    page = (out / "report.html").read_text()
    for task in result.tasks:
        found = task.assessment
        assert found is not None
        assert task.merged is not None
        assert (found.units, found.accuracy.value) == (task.test_images, task.merged.acc)
        assert found.auc == pytest.approx(task.merged.auc)
        assert tuple(one.name for one in found.classes) == task.prompts
        assert spell_estimate(found.accuracy) in page
        table = list(csv.reader((out / "figures" / f"{task.name}-confusion.csv").open()))
        assert [list(map(int, row[1:])) for row in table[1:]] == [list(row) for row in found.confusion or ()]


def test_every_figure_of_the_report_lies_beside_it(run: tuple[Path, Result, SimulationResult]) -> None:
    out, _, result = run
    files = {path.name for path in (out / "figures").iterdir()}
    tasks = {f"{task.name}-{what}" for task in result.tasks for what in ("confusion", "roc", "reliability")}
    planes = {f"{centre.name}-plane" for centre in result.centres}
    whole = {"accuracy", "coefficients", "individual-and-merged", "routing", "training", "distillation"}
    charts = {*whole, *tasks, *planes, "lung-home-and-away"}
    assert files == {f"{name}.{kind}" for name in charts for kind in ("svg", "pdf", "csv")}
    page = (out / "report.html").read_text()
    for name in charts:
        assert base64.b64encode((out / "figures" / f"{name}.svg").read_bytes()).decode() in page
    rows = list(csv.DictReader((out / "figures" / "accuracy.csv").open()))
    assert [float(row["accuracy"]) for row in rows if row["arrival"] == "3"] == [
        score.acc for score in result.rounds[-1].tasks.values()
    ]
    (epoch,) = {row["epoch"] for row in csv.DictReader((out / "figures" / "training.csv").open())} & {"1"}
    assert epoch == "1"


def test_where_images_go_is_what_the_item_predicts(run: tuple[Path, Result, SimulationResult], tiny_spec: str) -> None:
    out, _, result = run
    base = load_base(tiny_spec, "cpu")
    forge = Forge.open(out / "forge")
    try:
        item = forge.load_item(forge.find_commit(None))
    finally:
        forge.close()
    assert isinstance(item, Routed)
    last = result.rounds[-1]
    assert set(last.routing) == set(last.none_of_these) == {"lung", "colon"}
    for name in ("lung", "colon"):
        source = LUNG if name == "lung" else "tissue:colon,train=24,validation=8,test=16"
        test = open_task(source, base.image_size, result.seed).test
        images = base.normalise(test.images[:])
        found = item.predict(base, images)
        likeliest = item.route(base.embed_all(images).cpu()).likeliest.tolist()
        for index, one in enumerate(item.tasks):
            assert last.routing[name][one.card.name] == pytest.approx(likeliest.count(index) / len(images))
        strangers = sum(one.none_of_these for one in found) / len(found)
        assert last.none_of_these[name] == pytest.approx(strangers)
    assert sum(last.coefficients[name] for name in ("lung-1", "lung-2")) == pytest.approx(1)
    assert last.coefficients["colon"] == 1


def test_the_command_in_the_result_runs_the_same_centres(run: tuple[Path, Result, SimulationResult]) -> None:
    _, _, result = run
    assert f"--centre lung-1=lung@{LUNG},by=missing-class,part=1/2 " in result.command
    assert "--divide" not in result.command
    assert "--policy admission.behaviour=false" in result.command


def test_what_the_forge_holds_back_is_reported_with_its_reason(tiny_spec: str, tmp_path: Path) -> None:
    options = ("--centre", "lung=tissue:lung,train=24,validation=8,test=16")
    strict = ("--policy", "admission.behaviour=true")
    done = run_here(command(tiny_spec, tmp_path / "run", *options, *strict))
    assert done.exit_code == 0, done.stderr
    result = result_of(tmp_path / "run")
    (lung,) = result.centres
    assert not lung.arrived
    assert lung.arrival == 1
    assert lung.held is not None
    assert "chance" in lung.held
    assert result.complete
    assert result.rounds == ()
    assert lung.individual is not None
    assert any(lung.held in warning for warning in result.warnings)
    assert "held back" in done.stdout
    assert "held back" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--divide", "colon=3:missing-class"], "--centre colon-1: missing-class needs at least 3 classes"),
        (["--divide", "liver=2:iid"], "--divide liver: there is no such centre; the centres are breast, lung, colon"),
        (["--centre", "a=tissue:lung", "--centre", "b=tissue:lung"], "of tasks 'a' and 'b' read the same"),
        (["--centre", "a=x@tissue:lung", "--centre", "b=x@tissue:colon"], "the centres a and b both answer task x"),
        (["--policy", "admission.charm=1"], "admission.charm"),
    ],
)
def test_a_mistake_leaves_nothing_behind(options: list[str], sentence: str, tmp_path: Path) -> None:
    from medforge.cli import build_app
    from medforge.errors import MedForgeError

    with pytest.raises(MedForgeError) as caught:
        build_app()(["simulate", "--out", str(tmp_path / "run"), *options], standalone_mode=False)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_sites_keep_their_plugins_where_that_is_asked_for(tiny_spec: str, tmp_path: Path) -> None:
    source = "tissue:lung,train=48,validation=16,test=16"
    out = tmp_path / "run"
    two = ("--centre", f"a=lung@{source},by=iid,part=1/2", "--centre", f"b=lung@{source},by=iid,part=2/2")
    done = run_here(command(tiny_spec, out, *two, "--expert", "sites"))
    assert done.exit_code == 0, done.stderr
    result = result_of(out)
    assert (result.expert, "--expert sites" in result.command) == ("sites", True)
    base = load_base(tiny_spec, "cpu")
    forge = Forge.open(out / "forge")
    try:
        item = forge.load_item(forge.find_commit(None))
        plugins = {branch.digest: branch.plugin for branch in map(forge.load_branch, (1, 2))}
    finally:
        forge.close()
    assert isinstance(item, Routed)
    assert {site.card.branch: site.expert.plugin.digest for site in item.tasks[0].sites} == {
        digest: plugin.digest for digest, plugin in plugins.items()
    }
    (lung,) = result.tasks
    whole = open_task(source, base.image_size, result.seed)
    logits = item.logits(base, base.normalise(whole.test.images[:]), whole.prompts)
    expected = score(logits, whole.test.labels)
    assert lung.merged is not None
    assert lung.merged.acc == pytest.approx(expected.acc, abs=1e-9)
