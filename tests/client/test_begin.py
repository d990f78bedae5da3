"""A workspace is begun only once everything was found in order, and bound only by work that is saved."""

import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medforge.client.begin import begin_work
from medforge.client.records import TrainingRecord
from medforge.client.workspace import Workspace
from medforge.errors import InvalidInput
from tests.client.tasks import write_folder
from tests.client.test_cli import options, run

DRAWN = "tissue:lung,test=6,train=12,validation=6"
RECORDED = Path(__file__).parent.parent / "recorded" / "workspace-0.1.0"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("images") / "shades")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["train", "folder:/nope"], "folder: /nope does not exist"),
        (["train", "slides:x"], "slides"),
        (["train", "IMAGES,speed=2"], "there is no option 'speed'"),
        (["train", "IMAGES", "--device", "toaster"], "device 'toaster'"),
        (["train", "IMAGES", "--device", "cuda:99"], "device 'cuda:99'"),
        (["train", "IMAGES", "--dtype", "fp64"], "dtype 'fp64'"),
        (["train", "IMAGES", "--base", "nothing"], "'nothing' is not of a known form"),
        (["train", "IMAGES", "--base", "ViT-B-16:/nope.pt"], "checkpoint /nope.pt does not exist"),
        (["train", "IMAGES", "--recipe", "slow"], "no recipe 'slow'"),
        (["train", "IMAGES", "--task", "a/b"], "--task cannot be 'a/b'"),
        (["train", "IMAGES", "--contributor", " "], "cannot be a name"),
        (["train", "IMAGES", "--from", "/nope"], "--from /nope: there is no such directory"),
        (["distill", "folder:/nope"], "folder: /nope does not exist"),
        (["distill", "findings:chest"], "is a multi-label task"),
        (["contribute", "IMAGES", "--kit", "/nope"], "/nope is not a whole kit"),
        (["contribute", "folder:/nope", "--no-push"], "folder: /nope does not exist"),
        (["train", "HALF"], "each class of train needs one"),
        (["train", "STRANGE"], "--task NAME"),
        (["train", "LONG"], "are one to the base module"),
    ],
)
def test_a_mistake_leaves_no_workspace_and_the_corrected_command_works(
    arguments: list[str], sentence: str, images: Path, tmp_path: Path
) -> None:
    place = tmp_path / "w"
    sources = {"IMAGES": images}
    for name, where in (("HALF", "half"), ("STRANGE", "ä/日本"), ("LONG", "long")):
        sources[name] = tmp_path / where
    if arguments[1] in ("HALF", "STRANGE", "LONG"):
        shutil.copytree(images, sources[arguments[1]])
    if arguments[1] == "HALF":
        shutil.rmtree(tmp_path / "half" / "test" / "dark_tissue")
    if arguments[1] == "LONG":
        # what the tokenizer cuts off, no model sees
        prompts = [f"{one.name}: {'tissue ' * 200}{one.name}\n" for one in (images / "train").iterdir()]
        (tmp_path / "long" / "prompts.txt").write_text("".join(prompts))
    name, comma, option = arguments[1].partition(",")
    source = f"folder:{sources[name]}{comma}{option}" if name in sources else arguments[1]
    with pytest.raises(InvalidInput) as raised:
        run(arguments[0], source, *arguments[2:], "--workspace", place)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not place.exists()
    assert begin_work(place, {"source": DRAWN}, device="cpu").settings == Workspace(place).settings


def test_an_image_that_cannot_be_read_binds_nothing(images: Path, tmp_path: Path) -> None:
    """Images are decoded when training reads them, which may take long; the settings are there by then."""
    place, broken = tmp_path / "w", shutil.copytree(images, tmp_path / "broken")
    half = next((broken / "train" / "dark_tissue").iterdir())
    half.write_bytes(half.read_bytes()[:60])
    with pytest.raises(InvalidInput, match=rf"{re.escape(half.name)} .*; replace or remove it"):
        run("train", f"folder:{broken}", "--workspace", place)
    assert run("train", f"folder:{images}", "--workspace", place, *options(train__epochs=1)).startswith("trained: ")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    """Folders that hold no data set: without classes, with an empty class, with a file that is no image."""
    place = tmp_path_factory.mktemp("broken")
    for part in ("train", "test"):
        (place / "no classes" / part).mkdir(parents=True)
    shutil.copytree(images, place / "empty class")
    shutil.copytree(images / "test" / "dark_tissue", place / "empty class" / "test" / "a")
    (place / "empty class" / "train" / "a").mkdir()
    shutil.copytree(images, place / "no image")
    (place / "no image" / "train" / "dark_tissue" / "notes.png").write_text("no image")
    shutil.copytree(images, place / "no suffix")
    (place / "no suffix" / "train" / "dark_tissue" / "notes.txt").write_text("no image")
    return place


SAID_AT_ONCE = [
    (["train", "folder:/nope"], "folder: /nope does not exist; check the path"),
    (["train", "folder:BROKEN/no classes"], "train has 0 class folders; a task needs at least two"),
    (["train", "folder:BROKEN/empty class"], "train/a is empty; add images to it or remove it"),
    (["train", "folder:BROKEN/no image"], "notes.png is not a readable image; replace or remove it"),
    (["train", "folder:BROKEN/no suffix"], "notes.txt is not an image ("),
    (["train", "folder:BROKEN/no image,threads=x"], "option threads=x must be a whole number of at least 1"),
    (["train", "tissue:lung,train=zero"], "option train=zero must be a whole number of at least 3; change it"),
    (["train", "tissue:lung,train=-1"], "option train=-1 must be a whole number of at least 3; change it"),
    (["train", "findings:chest,test=2"], "option test=2 must be a whole number of at least 4; change it"),
    (["train", "tissue:lung", "--device", "toaster"], "device 'toaster' is not available on this machine"),
    (["train", "tissue:lung", "--dtype", "fp64"], "dtype 'fp64' is not known; choose one of"),
    (["train", "tissue:lung", "--base", "nope"], "base module 'nope' is not of a known form; write"),
    (
        ["train", "tissue:lung", "--base", "ViT-B-16/nope"],
        "open_clip has no weights 'nope' for ViT-B-16; it has",
    ),
    (["train", "tissue:lung", "--base", "ViT-B-16:no.pt"], "no.pt does not exist; check the path after"),
    (["train", "tissue:lung", "--base", "hf-hub:x/y"], "base module hf-hub:x/y cannot be fetched: "),
    (["contribute", "folder:BROKEN/no classes", "--no-push"], "train has 0 class folders; a task needs at least two"),
]


@pytest.mark.parametrize(("arguments", "sentence"), SAID_AT_ONCE, ids=lambda value: str(value)[:40])
def test_a_mistake_is_said_within_three_seconds(
    arguments: list[str], sentence: str, broken: Path, tmp_path: Path
) -> None:
    """Of computing time, so that what else this machine does is not counted."""
    place = tmp_path / "w"
    words = [word.replace("BROKEN", str(broken)) for word in arguments]
    seconds = said_at_once([*words, "--workspace", str(place)], sentence)
    assert not place.exists()
    assert seconds < 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--base", "nope"], "base module 'nope' is not of a known form"),
        (["--base", "ViT-B-16/nope"], "open_clip has no weights 'nope' for ViT-B-16"),
        (["--base", "medforge-tiny", "--device", "toaster"], "device 'toaster' is not available"),
        (["--base", "medforge-tiny", "--dtype", "fp64"], "dtype 'fp64' is not known"),
        (["--base", "medforge-tiny", "--merge", "nope"], "merge method 'nope' is not known"),
        (["--base", "medforge-tiny", "--merge", "ties", "--parameter", "x=1"], "method 'ties' has no parameter 'x'"),
        (["--base", "medforge-tiny", "--policy", "limits.nothing=1"], "limits.nothing"),
        (
            ["--base", "medforge-tiny", "--ready-file", "/dev/null"],
            "/dev/null cannot be written: it is a folder, a link",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_server_that_cannot_start_leaves_no_forge(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    forge = tmp_path / "forge"
    assert said_at_once(["serve", "--forge", str(forge), "--listen", "127.0.0.1:0", *arguments], sentence) < 3
    assert not forge.exists()


def test_evaluate_says_a_wrong_base_at_once(tmp_path: Path) -> None:
    command = ["evaluate", "tissue:lung", "--item", str(tmp_path), "--base"]
    assert said_at_once([*command, "nope"], "base module 'nope' is not of a known form") < 3


def said_at_once(arguments: list[str], sentence: str) -> float:
    """Run a command that ends with one sentence and status 2; return the processor seconds it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "medforge", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    # how far loading has come is no sentence
    assert len([line for line in done.stderr.splitlines() if line != "loading libraries …"]) == 1
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_work_that_is_saved_binds_and_nothing_else_does(images: Path, tmp_path: Path) -> None:
    place = tmp_path / "w"
    begin_work(place, {"source": DRAWN, "seed": 3}, device="cpu")
    assert begin_work(place, {}, device="cpu").settings.seed == 3
    begun = begin_work(place, {"source": f"folder:{images}"}, device="cpu").settings
    assert (begun.source, begun.seed) == (f"folder:{images.resolve()}", 3)
    (place / "training").mkdir()
    (place / "training" / "checkpoint.safetensors").write_bytes(b"half way")
    with pytest.raises(InvalidInput, match="was begun with source 'folder:"):
        begin_work(place, {"source": DRAWN}, device="cpu")


def test_a_source_is_the_same_however_it_is_spelt(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Workspace(tmp_path / "w")
    monkeypatch.chdir(images.parent)
    kept = begin_work(place.path, {"source": f"folder:{images.name}/,threads=2"}, device="cpu").settings
    assert kept.source == f"folder:{images.resolve()},threads=2"
    (place.training).mkdir()
    (place.training / "checkpoint.safetensors").write_bytes(b"half way")
    (tmp_path / "link").symlink_to(images)
    for spelt in (images.name, f"./{images.name}/", str(images), str(tmp_path / "link"), f"{images},threads=1"):
        assert begin_work(place.path, {"source": f"folder:{spelt}"}, device="cpu").settings == kept
    # as 0.1.0 wrote it
    place.create(kept.model_copy(update={"source": f"folder:{images.name}"}))
    assert (
        begin_work(place.path, {"source": f"folder:{images}"}, device="cpu").settings.source == f"folder:{images.name}"
    )
    monkeypatch.chdir(tmp_path)
    place.create(kept)
    assert begin_work(place.path, {}, device="cpu").task.name == "shades"


def test_drawn_sources_have_no_path_and_options_are_sorted(tmp_path: Path) -> None:
    begun = begin_work(tmp_path / "w", {"source": "tissue:lung,train=12,validation=6,test=6"}, device="cpu")
    assert begun.settings.source == DRAWN


def test_a_workspace_of_0_1_0_goes_on(tmp_path: Path) -> None:
    place = tmp_path / "w"
    shutil.copytree(RECORDED, place)
    workspace = Workspace(place)
    before, record = workspace.committed, workspace.trained
    assert isinstance(record, TrainingRecord)
    assert workspace.status()["trained"]["acc"] == record.best.acc
    assert "trained      yes" in run("status", "--workspace", place)
    run("commit", "--workspace", place)
    assert workspace.committed == before
    shutil.rmtree(workspace.branch)
    run("commit", "--workspace", place)
    assert workspace.committed is not None
    assert run("train", "--workspace", place).startswith("trained: ")


def test_a_plain_path_of_the_recorded_source_is_kept(tmp_path: Path) -> None:
    place = tmp_path / "w"
    shutil.copytree(RECORDED, place)
    settings = Workspace(place).settings
    assert begin_work(place, {"source": settings.source}, device="cpu").settings == settings


def test_options_of_a_run_do_not_leave_a_workspace(images: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="train.nothing"):
        run("train", f"folder:{images}", "--workspace", tmp_path / "w", *options(train__nothing=1))
    assert not (tmp_path / "w").exists()
