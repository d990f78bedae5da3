"""Every block marked runnable is run: a page's shell blocks as one script, its Python blocks on real branches."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest
from PIL import Image

from medforge.base import load_base
from medforge.cli import build_app
from medforge.client.data.catalogue import open_task
from medforge.client.recipes import change_recipe, recipe_for
from medforge.client.settings import Settings
from medforge.client.work import Work
from medforge.client.workspace import Workspace
from medforge.model.merge_plan import MergePlan
from medforge.model_directory import save_model
from tests.docs.pages import ROOT, blocks, pages

SHELL = ("sh", "bash")
LONGEST = 500  # seconds, on a machine that does much else; alone, a page takes less than a minute
FEW = "train=24,validation=12,test=12"
QUICK = ("train.epochs=1", "distill.steps=2", "distill.ipc=2", "distill.score_steps=2", "distill.candidates=1")


def runnable(*languages: str) -> list[Path]:
    return [page for page in pages() if any(one.runnable and one.language in languages for one in blocks(page))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


SCRIPTS = runnable(*SHELL)
SNIPPETS = [page for page in runnable("python") if page not in SCRIPTS]


def test_the_tutorials_are_run() -> None:
    tutorials = sorted((ROOT / "docs").glob("tutorial-*.md"))
    assert tutorials
    assert set(tutorials) <= set(SCRIPTS)
    assert ROOT / "README.md" in SNIPPETS


@pytest.mark.timeout(LONGEST + 60)
@pytest.mark.parametrize("page", SCRIPTS, ids=name_of)
def test_a_page_runs_as_one_script(page: Path, tmp_path: Path) -> None:
    script = ["set -euo pipefail"]
    for number, block in enumerate(one for one in blocks(page) if one.runnable):
        if block.language == "python":
            (tmp_path / f"block{number}.py").write_text(block.text, encoding="utf-8")
            script.append(f"python block{number}.py")
        else:
            script.append(block.text)
    text = shortened("\n".join(script)).replace("50051", str(free_port()))  # the page's port may be taken here
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        ["bash", "-c", text],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that what it leaves in the background can be ended with it
    )
    try:
        output, _ = process.communicate(timeout=LONGEST)
    finally:
        end(process)
    assert process.returncode == 0, output[-4000:]


def shortened(text: str) -> str:
    """The same commands with fewer images and steps, so that a page takes seconds; then nothing beats chance."""
    settings = " ".join(f"--recipe-set {one}" for one in QUICK)
    text = re.sub(r"train=\d+,validation=\d+,test=\d+", FEW, text).replace("--recipe demo", f"--recipe demo {settings}")
    unexamined = "--policy admission.behaviour=false"
    return text.replace("--tls", f"--tls {unexamined}").replace("medforge simulate", f"medforge simulate {unexamined}")


@pytest.fixture(scope="module")
def centres(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspaces of two centres, lung and colon, trained and distilled as shortly as can be.

    Beside them lie what they merge into (``merged``) and an image of each (``scans``).
    """
    directory = tmp_path_factory.mktemp("centres")
    base = load_base("medforge-tiny", "cpu")
    for organ in ("lung", "colon"):
        recipe = change_recipe(recipe_for("medforge-tiny", "demo"), QUICK)
        source = f"tissue:{organ},{FEW}"
        place = Workspace(directory / organ)
        place.create(Settings(source=source, contributor=organ, recipe=recipe.model_dump(mode="json")))
        work = Work(place, "cpu")
        work.base = base
        work.train()
        work.distill()
        work.commit()
    organs = [directory / organ / "branch" for organ in ("lung", "colon")]
    merged = MergePlan.of(organs).run("cpu")
    save_model(directory / "merged", merged.card, merged.item)
    (directory / "scans").mkdir()
    for organ in ("lung", "colon"):
        pixels = open_task(f"tissue:{organ},{FEW}", base.image_size).test.images[[0]][0]
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(directory / "scans" / f"{organ}.png")
    return directory


@pytest.mark.parametrize("page", SNIPPETS, ids=name_of)
def test_python_on_a_page_runs(page: Path, centres: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("lung", "colon", "merged", "scans"):
        (tmp_path / name).symlink_to(centres / name)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.runnable:
            # fewer images of the same tissue, so that it takes seconds
            text = re.sub(r'"(tissue:\w+)"', rf'"\1,{FEW}"', block.text)
            exec(compile(text, str(page), "exec"), names)  # our own page


def commands() -> Iterator[tuple[Path, list[str]]]:
    """Every `medforge …` that a page shows, in a shell block or in running text."""
    for page in pages():
        text = re.sub(r"^```.*?^```[ \t]*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        shown = [code.replace("\n", " ") for code in re.findall(r"`(medforge [^`]+)`", text)]
        for block in blocks(page):
            if block.language in SHELL:
                shown += block.text.replace("\\\n", " ").splitlines()
        for line in shown:
            words = shlex.split(
                line.replace("…", "").replace("'s", "").replace("[", "").replace("]", ""), comments=True
            )
            if words[:1] == ["medforge"]:
                yield page, [word for word in words[1:] if word not in ("&", "2>", "forge.log")]


@pytest.mark.parametrize(
    ("page", "words"), [pytest.param(*one, id=f"{one[0].stem}: {' '.join(one[1])[:60]}") for one in commands()]
)
def test_shown_commands_and_their_options_exist(page: Path, words: list[str]) -> None:
    app = build_app()
    context = click.Context(app, info_name="medforge")
    if words[0].startswith("--") or words[0].isupper():
        return
    command = app.get_command(context, words[0])
    if isinstance(command, click.Group) and len(words) > 1:
        command = command.get_command(context, words[1])
    assert command is not None, f"{name_of(page)} shows a command that is not there"
    known = {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)} | {"--help"}
    given = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
    assert given <= known, f"{name_of(page)} shows options of {words[0]} that are not there"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
