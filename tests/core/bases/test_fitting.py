"""Weights that are not the architecture's are named, counted, and by tower; values must be finite numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from medforge.base import load_base
from medforge.errors import CorruptFile

State = dict[str, Any]
Changed = Callable[[State], State]


def without(*names: str) -> Changed:
    return lambda state: {name: tensor for name, tensor in state.items() if name not in names}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (without("visual.proj"), r"1 of the image tower is missing \(visual\.proj\)"),
        (
            without("visual.proj", "ln_final.bias", "logit_scale"),
            r"1 of the image tower is missing \(visual\.proj\), 1 of the text tower is missing \(ln_final\.bias\), "
            r"1 of the model outside of its towers is missing \(logit_scale\)|"
            r"1 of the text tower is missing .*",
        ),
        (
            lambda state: {**state, "text.odd": torch.ones(1), "visual.odd": torch.ones(2)},
            r"1 of the text tower is additional \(text\.odd\), 1 of the image tower is additional \(visual\.odd\)",
        ),
        (
            lambda state: {**state, "visual.conv1.weight": torch.ones(32, 3, 4, 4)},
            r"1 of the image tower has another shape \(visual\.conv1\.weight is 32×3×4×4 where 32×3×8×8 is due\)",
        ),
        (
            lambda state: {f"vision_model.{name}": tensor for name, tensor in state.items()},
            r"of the image tower are missing \(visual\.[a-z_]+, .* and \d+ more\).*names are those of Hugging Face's",
        ),
        (
            lambda state: {**state, "visual.proj": state["visual.proj"] * torch.nan},
            r"1 of its weights holds a value that is not a finite number \(visual\.proj\); fetch it again",
        ),
        (
            lambda state: {**state, "ln_final.bias": state["ln_final.bias"] + torch.inf},
            r"not a finite number \(ln_final\.bias\)",
        ),
        (
            lambda state: {**state, "visual.proj": state["visual.proj"].to(torch.int8)},
            r"visual\.proj is torch\.int8, not floating-point numbers; give weights that are not quantised",
        ),
    ],
)
def test_what_does_not_fit_is_named(tiny_spec: str, tmp_path: Path, changed: Changed, said: str) -> None:
    config, _, checkpoint = tiny_spec.partition(":")
    torch.save(changed(torch.load(checkpoint)), tmp_path / "other.pt")
    with pytest.raises(CorruptFile, match=said):
        load_base(f"{config}:{tmp_path / 'other.pt'}", "cpu")


def test_half_precision_is_the_same_base_as_its_values(tiny_spec: str, tmp_path: Path) -> None:
    config, _, checkpoint = tiny_spec.partition(":")
    half = {name: tensor.half() for name, tensor in torch.load(checkpoint).items()}
    torch.save(half, tmp_path / "half.pt")
    torch.save({name: tensor.float() for name, tensor in half.items()}, tmp_path / "float.pt")
    bases = [load_base(f"{config}:{tmp_path / name}", "cpu") for name in ("half.pt", "float.pt")]
    assert bases[0].fingerprint == bases[1].fingerprint
