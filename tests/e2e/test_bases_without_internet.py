"""OpenAI's CLIP from a cache and BiomedCLIP from a directory: train, distil, commit and evaluate without internet."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from medforge.branch import Branch
from medforge.client.workspace import Workspace
from medforge.image_geometry import CLIP_MEAN
from tests.core.bases.biomed import write_snapshot
from tests.core.bases.families import FAMILIES, make
from tests.core.bases.hub import Hub
from tests.core.cli.commands import APP

SMALL = (
    *("train.max_steps=2", "train.epochs=1", "distill.steps=1", "distill.ipc=1", "distill.candidates=1"),
    *("distill.score.max_steps=2", "distill.score_steps=1", "distill.real_batch=2"),
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("validation", 2), ("test", 2)):
        for place, name in enumerate(("benign", "malignant")):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                values = random.integers(0, 128, (40, 60, 3), dtype=np.uint8) + np.uint8(100 * place)
                Image.fromarray(values).save(folder / f"{split}-{index}.png")
    return tmp_path / "images"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may so much as ask for an address."""

    def refuse(*asked: object, **_: object) -> Any:
        raise AssertionError(f"asked for {asked}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def _run(*words: str) -> str:
    done = CliRunner().invoke(APP, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("which", ["openai", "biomedclip"])
def test_a_centre_works_without_internet(which: str, images: Path, hub: Hub, tmp_path: Path) -> None:
    if which == "openai":
        # as OpenAI's weights are laid out in the hub's cache, but shallow
        model, _ = make("openai", FAMILIES["openai"], tmp_path)
        torch.save(model.state_dict(), hub.put("openai/small", "open_clip_pytorch_model.bin"))
        document = {"model_cfg": FAMILIES["openai"]}
        hub.put("openai/small", "open_clip_config.json").write_text(json.dumps(document))
        spec = "hf-hub:openai/small"
    else:
        write_snapshot(tmp_path / "biomedclip")
        spec = f"hf-local:{tmp_path / 'biomedclip'}"
    place = str(tmp_path / "workspace")
    small = [word for change in SMALL for word in ("--recipe-set", change)]
    _run("train", f"folder:{images}", "--base", spec, "--workspace", place, "--recipe", "tiny", *small)
    _run("distill", "--workspace", place)
    _run("commit", "--workspace", place)
    scored = json.loads(_run("evaluate", "--workspace", place, "--json"))
    assert scored["images"] == 4
    kept = Workspace(tmp_path / "workspace").base
    assert kept is not None
    assert kept.preprocessing is not None
    assert kept.preprocessing.mean == CLIP_MEAN
    manifest = Branch.load(tmp_path / "workspace" / "branch").manifest
    assert manifest.activation == ("quick_gelu" if which == "openai" else None)
    assert manifest.base_spec == (spec if which == "openai" else "hf-local:biomedclip")
    assert str(tmp_path) not in "".join(os.fsdecode(name) for name in manifest.to_bytes().splitlines())
