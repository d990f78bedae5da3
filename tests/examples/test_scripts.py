"""The examples run as they are: three scripts as processes, and the notebook's cells one after the other.

The cells are plain Python, so executing them needs no Jupyter here.
"""

import io
import json
import os
import re
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import medforge

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every example works, so that the two centres train once."""
    return tmp_path_factory.mktemp("examples")


def run(name: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), str(directory)],
        cwd=directory,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_every_example_is_in_the_index_and_here() -> None:
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    shown = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")} - {"centres.py"}
    assert shown == {
        "answer_over_http.py",
        "merge_plugins.py",
        "fold_two_centres.py",
        "classify_images.py",
        "look_inside.ipynb",
    }
    assert not [name for name in shown if f"]({name})" not in index]


def test_merge_plugins(directory: Path) -> None:
    rows = {line[:16].strip(): line[16:].split() for line in run("merge_plugins.py", directory).splitlines()}
    assert {"base alone", "plugin of lung", "plugin of colon", "model-soup", "ties", "med-lego"} <= set(rows)
    scores = {name: [float(score) for score in found] for name, found in rows.items() if name}
    assert all(len(found) == 2 and all(0 <= score <= 1 for score in found) for found in scores.values())
    assert scores["plugin of lung"][0] > scores["base alone"][0]


def test_fold_two_centres(directory: Path) -> None:
    output = run("fold_two_centres.py", directory)
    assert re.search(r"^[0-9a-f]{12}  fold 1  Centre lung: lung ", output, re.MULTILINE)
    assert re.search(r"^[0-9a-f]{12}  fold 2  Centre colon: colon ", output, re.MULTILINE)
    assert "merged here to the same bytes: True" in output


def test_classify_images(directory: Path) -> None:
    *lines, noise = run("classify_images.py", directory).splitlines()
    assert len(lines) == 8
    assert all(re.fullmatch(r"(lung|colon): .+ \([01]\.\d\d\), says .+; it is .+", line) for line in lines)
    assert noise == "noise: none of these"


def test_answers_over_http(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("classify_images.py", directory)  # which leaves a merged model
    monkeypatch.syspath_prepend(EXAMPLES)
    model = medforge.load(directory / "merged")
    client = TestClient(import_module("answer_over_http").application(model))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    answer = client.post("/predict", content=buffer.getvalue())
    assert answer.status_code == 200
    due = model.predict(picture, top=3)[0]
    assert answer.json()["none_of_these"] is due.none_of_these
    assert [one["class"] for one in answer.json()["ranking"]] == [one.key for one in due.ranking]
    assert client.post("/predict", content=b"no image").status_code == 400
    assert client.get("/predict").status_code == 405


def test_the_notebook(directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = json.loads((EXAMPLES / "look_inside.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in notebook["cells"] if cell["cell_type"] == "code")
    monkeypatch.setenv("MEDFORGE_EXAMPLES", str(directory))
    monkeypatch.syspath_prepend(EXAMPLES)
    mpl.use("Agg")
    script = directory / "look_inside.py"
    script.write_text("\n\n".join(cells), encoding="utf-8")
    try:
        runpy.run_path(str(script))
    finally:
        sys.modules.pop("centres", None)
        mpl.pyplot.close("all")
    output = capsys.readouterr().out
    assert "lung adenocarcinomas" in output
    assert re.search(r"^mixture +\{'lung': [01]\.\d+, 'colon': [01]\.\d+\}$", output, re.MULTILINE)
