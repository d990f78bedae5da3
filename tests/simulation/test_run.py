"""`medforge simulate` with real processes, real gRPC and a real forge, on a very small base and a few drawn images."""

import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from medforge.aggregator.forge.forge import Forge
from medforge.base import load_base
from medforge.cli import build_app
from medforge.client.workspace import Workspace
from medforge.errors import InvalidInput
from medforge.files import write_files
from medforge.forge_item import FusedPlugin
from medforge.simulation.centre_run import CentreRun
from medforge.simulation.crowd import DEFAULT_CROWD, Crowd
from medforge.simulation.result import SimulationResult
from medforge.simulation.rundir import ARTEFACTS
from medforge.simulation.settings import SimulationSettings
from medforge.simulation.shelf import Shelf
from tests.client.tasks import write_folder
from tests.programs import Program
from tests.simulation.waiting import PATIENCE, wait_for
from tests.tracked import read_tensorboard

SMALL = "train=24,validation=8,test=16"
QUICK = (
    "train.max_steps=3", "train.batch=8", "train.plugin.rank=2", "distill.steps=3", "distill.ipc=2",
    "distill.real_batch=4", "distill.candidates=1", "distill.score_steps=2", "distill.extractor_rank=2",
)  # fmt: skip


def command(spec: str, out: Path, *options: str) -> list[str]:
    changes = [word for change in QUICK for word in ("--recipe-set", change)]
    return [
        "simulate", "--base", spec, "--recipe", "tiny", *changes,
        # after three steps of training no branch beats chance for certain
        "--device", "cpu", "--jobs", "2", "--out", str(out), "--policy", "admission.behaviour=false", "--no-figures",
        *options,
    ]  # fmt: skip


def run_here(line: list[str]) -> Result:
    """Run the command in this process, which has imported everything; its centres and aggregator are processes."""
    return CliRunner().invoke(build_app(), line, catch_exceptions=False)


def centres(*names: str) -> list[str]:
    return [word for name in names for word in ("--centre", f"{name}=tissue:{name},{SMALL}")]


def process_id(out: Path, name: str) -> int | None:
    path = out / "processes.json"
    number: int | None = json.loads(path.read_bytes())[name] if path.exists() else None
    return number


def result_of(out: Path) -> SimulationResult:
    return SimulationResult.load(out / "result.json")


@pytest.fixture(scope="module")
def undisturbed(tiny_spec: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """Run two centres that arrive in the opposite order of --centre."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    options = ("--order", "lung,breast", "--track", f"tensorboard:{out.with_name('curves')}")
    done = run_here(command(tiny_spec, out, *centres("breast", "lung"), *options))
    assert done.exit_code == 0, done.stderr
    return out, done


def test_med_lego_merges_svd_loras_from_centre_to_head(tiny_spec: str, tmp_path: Path) -> None:
    options = ("--merge", "med-lego", "--plugin", "svd-lora", "--parameter", "energy=0.9")
    given = command(tiny_spec, tmp_path / "run", *centres("breast", "lung"), *options)
    done = run_here(given)
    assert done.exit_code == 0, done.stderr
    result = result_of(tmp_path / "run")
    assert (result.method, result.plugin) == ("med-lego", "svd-lora")
    forge = Forge.open(tmp_path / "run" / "forge")
    try:
        _, head = forge.ledger.commits()[-1]
        assert head.method.parameters == {"energy": 0.9}
        assert list(head.coefficients.values()) == [0.5, 0.5]
        item = forge.load_item(head)
    finally:
        forge.close()
    assert isinstance(item, FusedPlugin)
    assert item.plugin.settings.kind == "svd-lora"


def test_result_holds_every_centre_and_every_round(
    undisturbed: tuple[Path, Result],
) -> None:
    out, _ = undisturbed
    result = json.loads((out / "result.json").read_bytes())
    assert {"method", "level", "coefficients", "base", "seed", "head", "seconds"} <= set(result)
    assert [centre["name"] for centre in result["centres"]] == ["breast", "lung"]
    for centre in result["centres"]:
        assert centre["task"] == centre["name"]
        assert centre["arrived"]
        for kind in ("individual", "merged"):
            assert all(0 <= centre[kind][measure] <= 1 for measure in ("acc", "auc"))
    assert [(r["arrival"], r["centre"]) for r in result["rounds"]] == [(1, "lung"), (2, "breast")]
    for round_ in result["rounds"]:
        assert set(round_["metrics"]) == {"breast", "lung"}
        for row in round_["routing"].values():
            assert sum(row.values()) == pytest.approx(1)
    # each is the only centre of its task
    assert result["rounds"][0]["coefficients"] == {"lung": 1.0}
    assert result["rounds"][1]["coefficients"] == {"breast": 1.0, "lung": 1.0}
    assert result["head"] == result["rounds"][-1]["commit"]


def test_scores_are_those_of_the_forge_s_own_items(undisturbed: tuple[Path, Result], tiny_spec: str) -> None:
    from medforge.aggregator.forge.forge import Forge
    from medforge.base import load_base
    from medforge.client.data.catalogue import open_task
    from medforge.client.evaluate import score_item, score_plugin

    out, _ = undisturbed
    result = result_of(out)
    base = load_base(tiny_spec, "cpu")
    forge = Forge.open(out / "forge")
    item = forge.load_item(forge.find_commit(None))
    for centre in result.centres:
        assert centre.arrival is not None
        assert centre.individual is not None
        assert centre.merged is not None
        task = open_task(centre.source, base.image_size, result.seed)
        assert score_item(item, base, task, "test").acc == pytest.approx(centre.merged.acc, abs=1e-9)
        own = score_plugin(forge.load_branch(centre.arrival).plugin, base, task, "test")
        assert own.acc == pytest.approx(centre.individual.acc, abs=1e-9)
    forge.close()


def test_curves_hold_every_merge_round_and_every_centres_epochs(undisturbed: tuple[Path, Result]) -> None:
    out, _ = undisturbed
    result, place = result_of(out), str(out.with_name("curves"))
    whole = json.loads((out / "tracking.json").read_bytes())["run"]
    main = read_tensorboard(place, whole)
    for task in result.tasks:
        rounds = {done.arrival: done.tasks[task.name].acc for done in result.rounds}
        assert main[f"tasks/{task.name}/acc"] == pytest.approx({0: task.zero_shot.acc} | rounds, rel=1e-6)
    means = {done.arrival: done.mean.acc for done in result.rounds if done.mean is not None}
    assert {step: acc for step, acc in main["mean/acc"].items() if step} == pytest.approx(means, rel=1e-6)
    for centre in ("breast", "lung"):
        trained = Workspace(out / "centres" / centre).trained
        assert trained is not None
        curves = read_tensorboard(place, f"{whole}/{centre}")
        losses = {epoch.epoch: epoch.train_loss for epoch in trained.epochs}
        assert curves["training/loss"] == pytest.approx(losses, rel=1e-6)


def test_report_is_complete_and_loads_nothing(undisturbed: tuple[Path, Result]) -> None:
    out, done = undisturbed
    page = (out / "report.html").read_text()
    for section in ("accuracy", "coefficients", "individual-and-merged", "classes", "training", "samples", "rebuild"):
        assert f'<section id="{section}">' in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert all(alt.strip() for alt in re.findall(r'<img [^>]*alt="([^"]*)"', page))
    assert page.count("<img ") == page.count('alt="')
    samples = 2 * sum(len(centre.prompts) for centre in result_of(out).centres)
    forming = page.count("<figcaption>after ")
    assert forming >= 2 * 2  # the start and the end, of two centres
    assert page.count("data:image/png") == samples + forming + page.count("taken for “") // 2
    assert not (out / "figures").exists()
    assert result_of(out).head is not None
    assert str(result_of(out).head) in page
    assert "medforge simulate --centre" in page
    assert str(out / "report.html") in done.stdout
    assert "merged ACC" in done.stdout


def test_a_finished_run_is_not_run_again(undisturbed: tuple[Path, Result], tiny_spec: str) -> None:
    out, _ = undisturbed
    again = run_here(command(tiny_spec, out, *centres("breast", "lung"), "--order", "lung,breast", "--json"))
    assert again.exit_code == 0
    assert "finished; nothing to do" in again.stderr
    assert SimulationResult.model_validate_json(again.stdout) == result_of(out)


def test_a_later_run_trains_nothing_that_an_earlier_one_did(tiny_spec: str, tmp_path: Path) -> None:
    crowd = [*centres("breast", "lung"), "--centres", "3", "--reuse"]
    first = run_here(command(tiny_spec, tmp_path / "first", *crowd))
    assert first.exit_code == 0, first.stderr
    assert "lung-1: computing" in first.stderr
    again = run_here(command(tiny_spec, tmp_path / "again", *crowd, "--policy", "limits.rank=64"))
    assert again.exit_code == 0, again.stderr
    assert "computing" not in again.stderr
    one, other = (result_of(tmp_path / name) for name in ("first", "again"))
    assert [centre.name for centre in one.centres] == ["breast-1", "lung-1", "breast-2"]
    assert (one.reused, other.reused) == (0, 3)
    assert one.head == other.head
    assert [done.branch for done in one.rounds] == [done.branch for done in other.rounds]
    assert "3, 3 of them with what an earlier run learned" in (tmp_path / "again" / "report.html").read_text()
    # other images, or another recipe, are other work
    settings = SimulationSettings.parse((tmp_path / "first" / "simulation.json").read_bytes(), tmp_path)
    base = load_base(tiny_spec, "cpu")
    lung = CentreRun("lung-1", "lung", settings.centres[1].source, 0.0, tmp_path / "new", tmp_path / "log")
    assert Shelf(tmp_path / ARTEFACTS, settings, base).take(lung)
    # what is there is not written over
    assert not Shelf(tmp_path / ARTEFACTS, settings, base).take(lung)
    fresh = replace(lung, workspace=tmp_path / "newer")
    for changed in ({"seed": 1}, {"changes": (*settings.changes, "train.lr=0.1")}, {"dtype": "bf16"}):
        assert not Shelf(tmp_path / ARTEFACTS, settings.model_copy(update=changed), base).take(fresh)
    other_images = replace(fresh, source=f"{lung.source.removesuffix('1')}2")
    assert not Shelf(tmp_path / ARTEFACTS, settings, base).take(other_images)


def test_what_is_kept_longest_unused_goes_first(tmp_path: Path, tiny_spec: str) -> None:
    crowd = Crowd.make(DEFAULT_CROWD, 3)
    settings = SimulationSettings(
        centres=crowd.centres(), schedule=(), arrivals=None, base=tiny_spec, method="routed", level="output",
        coefficients="uniform", recipe="tiny", changes=(), seed=0, device="cpu", dtype="fp32",
    )  # fmt: skip
    shelf = Shelf(tmp_path / ARTEFACTS, settings, load_base(tiny_spec, "cpu"))
    works = [CentreRun(c.name, c.task, c.source, 0.0, tmp_path / c.name, tmp_path / "log") for c in crowd.centres()]
    for age, work in enumerate(reversed(works)):
        write_files(work.workspace, {"branch/manifest.json": b"1" * 1000})
        shelf.keep(work)
        os.utime(shelf.place(work), (1e9 - age, 1e9 - age))
    unfinished = tmp_path / ARTEFACTS / ".copy-of-a-killed-run"
    unfinished.mkdir()
    os.utime(unfinished, (1e9, 1e9))
    assert shelf.trim(3000) == 0
    assert not unfinished.exists()
    assert shelf.trim(2500) == 1
    assert [shelf.place(work).exists() for work in works] == [False, True, True]
    assert works[0].workspace.exists()
    assert shelf.trim(0) == 2
    assert list((tmp_path / ARTEFACTS).iterdir()) == []


def test_a_killed_aggregator_loses_nothing(undisturbed: tuple[Path, Result], tiny_spec: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = Program(command(tiny_spec, out, *centres("breast", "lung"), "--order", "lung,breast"), tmp_path / "said")
    wait_for((out / "centres" / "lung" / "receipt.json").exists, run)
    killed = process_id(out, "aggregator")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    assert run.wait(PATIENCE) == 0, run.said()
    assert f"aggregator (process {killed}) died: it was killed by SIGKILL; starting it again" in run.said()
    result, undisturbed_result = result_of(out), result_of(undisturbed[0])
    assert result.restarts == 1
    assert result.head == undisturbed_result.head
    assert result.rounds == undisturbed_result.rounds
    assert result.centres == undisturbed_result.centres


def test_a_run_goes_on_after_a_stop_and_without_a_centre_that_dies(tiny_spec: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    scans = write_folder(tmp_path / "scans", 24, 8)
    line = command(tiny_spec, out, "--centre", f"gone=folder:{scans}", *centres("lung"), "--merge", "mixture", "--json")
    stopped = Program(line, tmp_path / "said", printed=tmp_path / "printed by the first")
    wait_for(lambda: process_id(out, "lung"), stopped)
    stopped.signal(signal.SIGINT)
    assert stopped.wait(PATIENCE) == 130
    ending = json.loads(stopped.said().splitlines()[-1])
    assert ending["code"] == "interrupted"
    assert ending["error"] == f"interrupted: what was done is saved in {out}"
    assert ending["remedy"].startswith("to go on, run: medforge simulate ")
    assert ending["remedy"].endswith(f" --out {out} --jobs 2 --no-figures --json")
    assert set(json.loads((out / "processes.json").read_bytes()).values()) == {None}

    with pytest.raises(InvalidInput) as other:
        run_here([*line, "--seed", "5"])
    assert other.value.exit_code == 2
    assert f"--out {out} holds a simulation with other settings (seed)" in str(other.value)

    # a workspace that somebody spoilt meanwhile: the centre ends as soon as it looks at it
    settings = out / "centres" / "gone" / "settings.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text("{")
    done = Program(line, tmp_path / "said", printed=tmp_path / "printed")
    assert done.wait(PATIENCE) == 3, done.said()
    assert "going on with the run" in done.said()
    missing = json.loads(done.said().splitlines()[-1])
    assert missing["error"] == "gone did not arrive"
    assert missing["remedy"].startswith(f"see {out / 'logs'}, then run the same command to go on")
    result = SimulationResult.model_validate_json((tmp_path / "printed").read_bytes())
    gone, lung = result.centres
    assert not gone.arrived
    assert gone.why_not is not None
    assert "settings.json cannot be read" in gone.why_not
    assert gone.individual is None
    assert lung.arrived
    assert lung.arrival == 1
    assert lung.merged == lung.individual
    assert [r.centre for r in result.rounds] == ["lung"]
    assert any("gone did not arrive" in warning for warning in result.warnings)
    assert "did not arrive" in (out / "report.html").read_text()


def test_images_that_cannot_be_read_stop_a_run_before_it_begins(tiny_spec: str, tmp_path: Path) -> None:
    scans = write_folder(tmp_path / "scans", 24, 8)
    torn = [min((scans / part / "dark_tissue").iterdir()) for part in ("train", "test")]
    for image in torn:
        image.write_bytes(image.read_bytes()[:-400])
    out = tmp_path / "run"
    line = command(tiny_spec, out, "--centre", f"torn=folder:{scans}", *centres("lung"), "--json")
    done = Program(line, tmp_path / "said")
    assert done.wait(PATIENCE) == 2
    said = done.said().splitlines()[-1]
    assert all(f"{image} cannot be decoded" in said for image in torn)
    assert not (out / "processes.json").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--centre", "a=tissue:lung", "--centre", "a=tissue:colon"], "--centre a is given twice"),
        (["--centre", "a=scans:lung"], "unknown source 'scans'"),
        (["--order", "breast,lung,liver"], "--order names 'liver'"),
        (["--arrivals", "poisson:0"], "write poisson:RATE"),
        (["--merge", "soup"], "soup"),
        (["--recipe", "huge"], "huge"),
        (["--recipe-set", "train.speed=9"], "train.speed=9"),
        (["--centres", "1"], "--centres 1 is fewer than the 2 centres"),
        (["--centres", "40", "--review"], "--review lets every centre review every commit"),
    ],
)
def test_a_mistake_is_one_sentence_on_stderr(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from medforge.errors import MedForgeError

    with pytest.raises(MedForgeError) as caught:
        build_app()(["simulate", *options], standalone_mode=False)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
