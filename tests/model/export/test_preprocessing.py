"""What is exported prepares images as the base module does, whichever way that is."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.client.data.pixels.decode import to_pixels
from medforge.errors import InvalidInput
from medforge.forge_item import FusedPlugin
from medforge.model.engines.onnx import OnnxModel
from medforge.model.export.exporting import export
from medforge.model.export.onnx import export_onnx
from medforge.model.network import Network
from medforge.model.opening import open_model
from tests.conftest import TINY_CONFIG
from tests.making import make_plugin
from tests.model.networks import LUNG, checkout

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 90, 3), dtype=np.uint8))
HALF = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear"}


def base_of(tiny_spec: str, directory: Path, resize_mode: str) -> BaseModule:
    file = directory / "prepared.json"
    prepared = HALF | {"resize_mode": resize_mode, "fill_color": 7}
    file.write_text(json.dumps({"model_cfg": TINY_CONFIG | {"quick_gelu": True}, "preprocess_cfg": prepared}))
    return load_base(f"{file}:{tiny_spec.partition(':')[2]}", "cpu")


@pytest.mark.parametrize("resize_mode", ["shortest", "squash", "longest"])
def test_open_clip_prepares_images_so(tiny_spec: str, tmp_path: Path, resize_mode: str) -> None:
    base = base_of(tiny_spec, tmp_path, resize_mode)
    export(Network(base, {}, None, ()), "open_clip", tmp_path / "out")
    model, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'out'}")
    due = base.normalise(torch.from_numpy(to_pixels(PICTURE, base.preprocessing)).unsqueeze(0))
    assert torch.allclose(prepare(PICTURE).unsqueeze(0), due, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(model.eval().encode_image(due), base.embed(due), atol=1e-5)


@pytest.mark.parametrize("resize_mode", ["shortest", "squash"])
def test_transformers_prepares_images_so(tiny_spec: str, tmp_path: Path, resize_mode: str) -> None:
    from transformers import CLIPImageProcessor

    base = base_of(tiny_spec, tmp_path, resize_mode)
    export(Network(base, {}, None, ()), "hf", tmp_path / "out")
    found = CLIPImageProcessor.from_pretrained(tmp_path / "out")(PICTURE, return_tensors="pt").pixel_values
    due = base.normalise(torch.from_numpy(to_pixels(PICTURE, base.preprocessing)).unsqueeze(0))
    # its filter may be torchvision's, which rounds otherwise
    assert float((found - due).abs().max()) < 3 / 255 / 0.5


def test_transformers_cannot_fill_up(tiny_spec: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot fill an image up to a square.*; export to open_clip instead"):
        export(Network(base_of(tiny_spec, tmp_path, "longest"), {}, None, ()), "hf", tmp_path / "out")


def test_a_graph_answers_as_the_model_it_was_made_of(tiny_spec: str, tmp_path: Path) -> None:
    base = base_of(tiny_spec, tmp_path, "squash")
    model = open_model(checkout(tmp_path / "merged", base, FusedPlugin(make_plugin(base)), lung=LUNG), base=base)
    export_onnx(model, tmp_path / "out")
    graph = OnnxModel(tmp_path / "out")
    assert graph.geometry == base.preprocessing.geometry
    PICTURE.save(tmp_path / "picture.png")
    (due,), (found,) = (one.predict(tmp_path / "picture.png", top=3) for one in (model, graph))
    assert [one.key for one in due.ranking] == [one.key for one in found.ranking]
    assert found.probability == pytest.approx(due.probability, abs=1e-4)
    assert ".resize((32, 32), Image.Resampling.BILINEAR)" in (tmp_path / "out" / "README.md").read_text()
    assert "32 by 32 pixels (bilinear), whatever they were, mean 0.5" in (tmp_path / "merged" / "README.md").read_text()
