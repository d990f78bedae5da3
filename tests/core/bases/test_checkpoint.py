"""Weights are read from whatever file they are in, and no code of the file is run."""

import argparse
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from medforge.base import load_base
from medforge.bases.checkpoint import read_weights
from medforge.errors import CorruptFile, InvalidInput
from tests.core.bases.families import FAMILIES, make


class Planted:
    """What a pickle calls when it is read by whoever obeys it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


class Own(dict[str, Any]):
    """A class that only the program that wrote the file has."""


WEIGHTS = OrderedDict(a=torch.arange(6.0).view(2, 3), b=torch.ones(3).half(), c=torch.tensor(2.5))


def same(found: dict[str, torch.Tensor], due: dict[str, torch.Tensor]) -> None:
    assert sorted(found) == sorted(due)
    assert all(torch.equal(found[name], due[name]) and found[name].dtype == due[name].dtype for name in due)


@pytest.mark.parametrize("old", [False, True])
def test_a_training_checkpoint_is_read_and_nothing_in_it_runs(tmp_path: Path, old: bool) -> None:
    made = tmp_path / "made"
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))])
    optimiser.param_groups[0]["lr"] = np.float64(0.1)
    checkpoint = {
        "epoch": np.int64(3),
        "args": argparse.Namespace(lr=0.1, own=Own(a=1)),
        "optimizer": optimiser.state_dict(),
        "planted": [Planted(made), {Planted(made)}],
        "state_dict": OrderedDict((f"module.{name}", tensor) for name, tensor in WEIGHTS.items()),
    }
    file = tmp_path / "epoch_3.pt"
    torch.save(checkpoint, file, _use_new_zipfile_serialization=not old)
    same(read_weights(file, "base module x"), WEIGHTS)
    assert not made.exists()
    # a reader that obeys would have run it
    torch.load(file, weights_only=False)
    assert made.exists()


def test_a_view_keeps_its_place_in_a_storage(tmp_path: Path) -> None:
    whole = torch.arange(24.0).view(4, 6)
    torch.save({"row": whole[1], "column": whole[:, 2], "turned": whole.T, "none": whole[:0]}, tmp_path / "views.pt")
    found = read_weights(tmp_path / "views.pt", "base module x")
    assert torch.equal(found["row"], whole[1])
    assert torch.equal(found["column"], whole[:, 2])
    assert torch.equal(found["turned"], whole.T)
    assert found["none"].shape == (0, 6)


def test_a_whole_module_is_read_as_its_weights(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    torch.save(module, tmp_path / "module.pt")
    same(read_weights(tmp_path / "module.pt", "base module x"), dict(module.state_dict()))


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda w: w,
        lambda w: {"model": w, "epoch": 3},
        lambda w: {"state_dict": {f"model.{name}": tensor for name, tensor in w.items()}, "lr": 0.1},
        lambda w: {"anything": w, "n": 2},
        lambda w: {f"_orig_mod.{name}": torch.nn.Parameter(tensor) for name, tensor in w.items()},
    ],
)
def test_weights_are_found_in_what_programs_write(tmp_path: Path, wrapped: Any) -> None:
    torch.save(wrapped(dict(WEIGHTS)), tmp_path / "checkpoint.bin")
    same(read_weights(tmp_path / "checkpoint.bin", "base module x"), WEIGHTS)


def test_several_models_in_one_file_are_named(tmp_path: Path) -> None:
    torch.save({"student": dict(WEIGHTS), "teacher": dict(WEIGHTS)}, tmp_path / "both.pt")
    with pytest.raises(InvalidInput, match="several sets of weights, student, teacher; save the one"):
        read_weights(tmp_path / "both.pt", "base module x")
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    with pytest.raises(InvalidInput, match="holds no weights; give a checkpoint"):
        read_weights(tmp_path / "none.pt", "base module x")


def test_safetensors_are_read_whatever_they_are_called(tmp_path: Path) -> None:
    save_file(dict(WEIGHTS), tmp_path / "model.bin")
    same(read_weights(tmp_path / "model.bin", "base module x"), WEIGHTS)


@pytest.mark.filterwarnings("ignore")  # PyTorch would rather not trace any more
def test_an_archive_of_torchscript_is_read_as_weights(tmp_path: Path) -> None:
    """As OpenAI publishes; torch's own reader would compile and call what is in it."""
    model, config = make("openai", FAMILIES["openai"], tmp_path)
    file = tmp_path / "archive.pt"
    torch.jit.save(_traced(model), file)
    found = read_weights(file, "base module x")
    for name, tensor in model.state_dict().items():
        assert torch.equal(found[name], tensor), name
    base = load_base(f"{config}:{file}", "cpu")
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(base.embed(images), model.encode_image(images), atol=1e-5)


def _traced(model: Any) -> Any:
    inputs = (torch.ones(1, 3, 32, 32), torch.zeros(1, 16, dtype=torch.int))
    return torch.jit.trace_module(
        model, {"forward": inputs, "encode_image": (inputs[0],), "encode_text": (inputs[1],)}, check_trace=False
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a checkpoint",
        b"\x80\x02}q\x00.",
        b"PK\x03\x04" + b"\0" * 40,
        pickle.dumps({"a": 1}),
        (100).to_bytes(8, "little") + b"{broken",
    ],
)
def test_what_is_no_checkpoint_is_said_without_advice(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "file.pt"
    file.write_bytes(data)
    with pytest.raises(InvalidInput) as caught:
        read_weights(file, "base module x")
    assert "base module x cannot be read" in str(caught.value)
    assert "weights_only" not in str(caught.value)


def test_cut_files_are_corrupt(tmp_path: Path) -> None:
    torch.save(dict(WEIGHTS), tmp_path / "whole.pt")
    data = (tmp_path / "whole.pt").read_bytes()
    for share in (0.3, 0.6, 0.95):
        (tmp_path / "cut.pt").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(CorruptFile, match=r"cut\.pt is corrupt; fetch it again"):
            read_weights(tmp_path / "cut.pt", "base module x")
