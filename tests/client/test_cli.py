import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from medforge import progress
from medforge.branch import Branch
from medforge.cli import build_app
from medforge.client.begin import begin_work
from medforge.client.workspace import Workspace
from medforge.errors import ForgeUnavailable, InvalidInput
from medforge.forge_item import FusedPlugin
from medforge.plugin import Plugin
from tests.client.tasks import write_folder
from tests.programs import Program
from tests.tracked import READERS

SETTINGS = {
    "train.plugin.rank": 4, "train.plugin.alpha": 8, "train.epochs": 3, "train.batch": 8, "train.optimiser": "adamw",
    "train.lr": 0.01, "distill.ipc": 2, "distill.steps": 8, "distill.real_batch": 6, "distill.checkpoint_every": 2,
    "distill.candidates": 2, "distill.score_steps": 4,
}  # fmt: skip


def options(**changes: object) -> list[str]:
    settings = SETTINGS | {name.replace("__", "."): value for name, value in changes.items()}
    return [part for name, value in settings.items() for part in ("--recipe-set", f"{name}={value}")]


def run(*arguments: object) -> str:
    """Run a command in this process; its mistakes come out as exceptions."""
    threads = torch.get_num_threads()
    try:
        result = CliRunner().invoke(build_app(), [str(a) for a in arguments], catch_exceptions=False)
    finally:
        torch.set_num_threads(threads)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"folder:{write_folder(tmp_path_factory.mktemp('images') / 'shades', train=36)}"


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory, source: str, tiny_spec: str) -> Path:
    """A workspace that has done everything but the push."""
    place = tmp_path_factory.mktemp("work") / "centre"
    tracked = ("--track", f"tensorboard:{place.with_name('curves')}", "--track", f"mlflow:{place.with_name('db')}")
    chosen = ("--base", tiny_spec, "--threads", 1, *options())
    run("contribute", source, "--workspace", place, "--no-push", *chosen, *tracked)
    return place


def state(place: Path) -> dict[Path, tuple[int, int]]:
    files = [path for path in place.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def test_contribute_makes_a_branch_that_loads(centre: Path) -> None:
    branch = Branch.load(centre / "branch")
    assert branch.digest == Workspace(centre).committed
    manifest = branch.manifest
    assert (manifest.contributor, manifest.task, manifest.recipe, manifest.seed) == ("centre", "shades", "paper", 0)
    assert (manifest.ipc, manifest.plugin.rank, manifest.image_size) == (2, 4, 32)
    assert manifest.training_images == 30  # 36, less the validation images taken from them
    assert manifest.validation.keys() == {"acc", "auc", "loss", "distilled_acc"}
    assert not list(centre.rglob("checkpoint.safetensors"))


def test_no_path_of_the_centre_leaves_it(centre: Path, source: str) -> None:
    text = (centre / "branch" / "manifest.json").read_text()
    assert str(centre.parent) not in text
    assert source.removeprefix("folder:") not in text


def test_running_again_does_nothing_again(centre: Path) -> None:
    before = state(centre)
    for command in ("train", "distill", "commit"):
        run(command, "--workspace", centre)
    run("contribute", "--workspace", centre, "--no-push")
    assert state(centre) == before


def test_the_stages_one_by_one_make_the_same_branch(centre: Path, source: str, tiny_spec: str, tmp_path: Path) -> None:
    place = tmp_path / "centre"
    run("train", source, "--workspace", place, "--base", tiny_spec, "--threads", 1, *options())
    with pytest.raises(InvalidInput, match=r"nothing to commit yet; run: medforge distill --workspace"):
        run("commit", "--workspace", place)
    run("distill", "--workspace", place, "--threads", 1)
    run("commit", "--workspace", place)
    assert Workspace(place).committed == Workspace(centre).committed


def test_distillation_can_come_first_by_a_method_that_is_kept(source: str, tiny_spec: str, tmp_path: Path) -> None:
    place = tmp_path / "centre"
    many = options(distill__steps=2, distill__candidates=1, train__epochs=1)
    run("distill", source, "--workspace", place, "--base", tiny_spec, "--distillation", "dm", *many)
    run("distill", source, "--workspace", place, "--distillation", "dm")
    with pytest.raises(InvalidInput, match="was begun with method 'dm', not 'dc-dsa'; give 'dm' again, or use another"):
        run("contribute", "--workspace", place, "--no-push", "--distillation", "dc-dsa")
    run("contribute", "--workspace", place, "--no-push")
    assert Workspace(place).settings.recipe["distill"]["method"] == "dm"
    assert Workspace(place).committed is not None


def test_the_kind_of_plugin_is_chosen_and_kept(source: str, tiny_spec: str, tmp_path: Path) -> None:
    place = tmp_path / "centre"
    run("train", source, "--workspace", place, "--base", tiny_spec, "--plugin", "svd-lora", *options(train__epochs=1))
    run("train", "--workspace", place, "--plugin", "svd-lora")
    with pytest.raises(InvalidInput, match="was begun with plugin 'svd-lora', not 'dora'; give 'svd-lora' again"):
        run("train", "--workspace", place, "--plugin", "dora")
    assert Plugin.load(place / "training" / "plugin").settings.kind == "svd-lora"


def test_curves_say_what_the_records_say(centre: Path, tmp_path: Path) -> None:
    trained, distilled = Workspace(centre).trained, Workspace(centre).distilled
    assert trained is not None
    assert distilled is not None
    expected = {
        "training/loss": {epoch.epoch: epoch.train_loss for epoch in trained.epochs},
        "validation/loss": {epoch.epoch: epoch.loss for epoch in trained.epochs},
        "validation/acc": {epoch.epoch: epoch.acc for epoch in trained.epochs},
        "validation/auc": {epoch.epoch: epoch.auc for epoch in trained.epochs},
        "distillation/acc": {one.step: one.acc for one in distilled.candidates},
        "distillation/validation_loss": {one.step: one.loss for one in distilled.candidates},
    }
    name = json.loads((centre / "tracking.json").read_bytes())["run"]
    for kind, place in (("tensorboard", "curves"), ("mlflow", "db")):
        curves = READERS[kind](str(centre.with_name(place)), name)
        losses = curves.pop("distillation/loss")
        assert list(losses) == list(range(1, int(str(SETTINGS["distill.steps"])) + 1))
        assert curves.keys() == expected.keys()
        for curve, points in expected.items():
            # an event file has float32
            assert curves[curve] == pytest.approx(points, rel=1e-6)
    # whoever asks for them only now gets what the records hold
    run("contribute", "--workspace", centre, "--no-push", "--track", f"tensorboard:{tmp_path}")
    assert READERS["tensorboard"](str(tmp_path), name).keys() == expected.keys()


def test_status_says_what_is_done(centre: Path) -> None:
    status = json.loads(run("status", "--workspace", centre, "--json"))
    assert status["committed"] == Workspace(centre).committed
    assert status["pushed"] is None
    assert 0 <= status["trained"]["acc"] <= 1
    lines = run("status", "--workspace", centre).splitlines()
    assert "pushed       no" in lines
    assert any(line.startswith("trained      yes, validation accuracy") for line in lines)


@pytest.mark.parametrize(
    "command",
    [["train"], ["distill"], ["commit"], ["contribute", "--no-push"], ["status"], ["audit"], ["evaluate"]],
)
def test_stdout_is_one_document_under_json(centre: Path, command: list[str]) -> None:
    document = json.loads(run(*command, "--workspace", centre, "--json"))
    if command[0] not in ("audit", "evaluate"):
        assert document == json.loads(run("status", "--workspace", centre, "--json"))
        assert document["committed"] == Workspace(centre).committed


def test_evaluate_scores_a_workspace_and_a_forge_item_alike(
    centre: Path, tiny_spec: str, source: str, tmp_path: Path
) -> None:
    own = json.loads(run("evaluate", "--workspace", centre, "--json"))
    assert (own["task"], own["split"], own["images"], own["scored_by"]) == ("shades", "test", 8, "patch")
    FusedPlugin(Plugin.load(centre / "training" / "plugin")).save(tmp_path / "item")
    item = json.loads(run("evaluate", source, "--item", tmp_path / "item", "--base", tiny_spec, "--json"))
    assert item["acc"] == own["acc"]
    assert item["loss"] == pytest.approx(own["loss"], rel=1e-4)
    assert "8 images of the test split, by patch: accuracy" in run("evaluate", "--workspace", centre)


def test_evaluate_says_how_far_it_has_come(centre: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE", -1.0)  # as if every step took long
    command = ["evaluate", "--workspace", str(centre), "--split", "train", "--json"]
    result = CliRunner().invoke(build_app(), command, catch_exceptions=False)
    images = json.loads(result.stdout)["images"]
    assert f"scoring the train split {images}/{images}" in result.stderr.splitlines()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["evaluate", "folder:x"], "either --workspace DIR .* or --item DIR"),
        (
            ["evaluate", "--workspace", "CENTRE", "--split", "all"],
            "no split 'all'; choose one of train, validation, test",
        ),
        (["evaluate", "--item", "CENTRE"], "no images are named to score it on; say which"),
        (["contribute", "--workspace", "CENTRE"], "or --at HOST:PORT, or stop after the commit with --no-push"),
        (["push", "--workspace", "nowhere", "--at", "localhost:1"], "there is no workspace in nowhere"),
        (["distill", "--workspace", "nowhere"], "there is no workspace in nowhere"),
        (["train", "--workspace", "CENTRE", "--seed", "5"], "was begun with seed 0, not 5"),
        (
            ["distill", "tissue:lung", "--workspace", "nowhere", "--distillation", "magic"],
            "no distillation method 'magic'",
        ),
    ],
)
def test_mistakes_are_said_with_a_remedy(centre: Path, arguments: list[str], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        run(*[str(centre) if argument == "CENTRE" else argument for argument in arguments])


def test_a_wrong_workspace_is_said_before_torch_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    program = """
import sys
from medforge.cli import build_app
from medforge.errors import InvalidInput
commands = [[name] for name in ("train", "distill", "commit", "audit", "push", "status", "evaluate")]
for command, *rest in [*commands, ["train", "folder:."], ["distill", "folder:."]]:
    try:
        place = "a-file/nowhere" if rest else "nowhere"
        build_app().main([command, *rest, "--workspace", place], standalone_mode=False)
    except InvalidInput:
        print(command, *({"torch", "open_clip"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    names = ["train", "distill", "commit", "audit", "push", "status", "evaluate", "train", "distill"]
    assert done.stdout.split() == names, done.stdout
    assert [one.name for one in tmp_path.iterdir()] == ["a-file"]


def test_a_forge_that_is_away_leaves_the_branch_in_place(centre: Path) -> None:
    before = Workspace(centre).committed
    with pytest.raises(ForgeUnavailable, match="the branch is kept"):
        run("push", "--workspace", centre, "--at", "127.0.0.1:1", "--patience", 0)
    assert Workspace(centre).committed == before
    assert Workspace(centre).pushed is None


def test_pushing_before_committing_is_refused(source: str, tiny_spec: str, tmp_path: Path) -> None:
    workspace = begin_work(tmp_path / "c", {"source": source, "base": tiny_spec}).workspace
    with pytest.raises(InvalidInput, match="nothing to commit yet; run: medforge train"):
        run("commit", "--workspace", workspace.path)
    with pytest.raises(InvalidInput, match="no branch to push yet; run: medforge commit"):
        run("push", "--workspace", workspace.path, "--at", "127.0.0.1:1")


def test_torch_is_imported_only_by_commands_that_compute() -> None:
    script = (
        "import sys, medforge.client.cli; print([m for m in ('torch', 'numpy', 'grpc', 'PIL') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def kill_when(process: Program, file: Path) -> None:
    """Kill a process with SIGKILL as soon as a file is there."""
    end = time.monotonic() + 120
    while not file.exists():
        assert process.alive, "the process ended by itself"
        assert time.monotonic() < end, "no checkpoint within two minutes"
        time.sleep(0.005)
    process.signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def test_a_killed_centre_goes_on_to_the_same_branch(source: str, tiny_spec: str, tmp_path: Path) -> None:
    """Kill a real process in training and again in distillation; the branch equals an undisturbed one's."""
    many = options(train__epochs=20, distill__steps=60)
    arguments = [source, "--no-push", "--base", tiny_spec, "--contributor", "c", "--threads", "1", *many]
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    for stage in ("training", "distillation"):
        process = Program(["contribute", *arguments, "--workspace", killed], tmp_path / "log")
        kill_when(process, killed / stage / "checkpoint.safetensors")
        assert not (killed / stage / "history.json").exists(), "it was killed too late to prove anything"
    run("contribute", *arguments, "--workspace", killed)
    run("contribute", *arguments, "--workspace", undisturbed)
    for name in ("branch/manifest.json", "branch/distilled.safetensors", "branch/plugin/adapter_model.safetensors"):
        assert (killed / name).read_bytes() == (undisturbed / name).read_bytes()
    assert (killed / "training/history.json").read_bytes() == (undisturbed / "training/history.json").read_bytes()
