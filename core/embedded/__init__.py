"""The embedded base `medforge-tiny`: a small CLIP that travels inside the package (see MODEL_CARD.md)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import torch
from open_clip import CLIP
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from medforge.embedded.tokenizer import FoldedTokenizer
from medforge.errors import CorruptFile, InvalidInput

Tokenizer = Callable[[Sequence[str]], Tensor]
EMBEDDED: tuple[str, ...] = ("medforge-tiny",)

MEAN: tuple[float, float, float] = (0.70, 0.55, 0.70)
STD: tuple[float, float, float] = (0.25, 0.25, 0.25)


def _resource(name: str, suffix: str) -> bytes:
    file = files(__package__).joinpath(name.replace("-", "_") + suffix)
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise CorruptFile(f"the embedded model file {file} is missing; install medforge again") from error


def model_config(name: str = "medforge-tiny") -> dict[str, Any]:
    """Return the open_clip model configuration of an embedded model.

    Raises InvalidInput for a name that is not embedded.
    """
    if name not in EMBEDDED:
        raise InvalidInput(f"there is no embedded base named {name!r}; use one of {', '.join(EMBEDDED)}")
    config: dict[str, Any] = json.loads(_resource(name, ".json"))
    return config


def build(config: dict[str, Any]) -> tuple[CLIP, FoldedTokenizer]:
    """Build the open_clip model, its weights drawn by torch's global generator, and its tokenizer."""
    text = config["text_cfg"]
    return CLIP(**config), FoldedTokenizer(text["vocab_size"], text["context_length"])


def preprocessing(config: dict[str, Any]) -> dict[str, Any]:
    """Return {"mean", "std": three floats for pixels in [0, 1]; "size": side in pixels; "model": the configuration}."""
    return {"mean": MEAN, "std": STD, "size": int(config["vision_cfg"]["image_size"]), "model": config}


def load_embedded(name: str = "medforge-tiny") -> tuple[CLIP, Tokenizer, dict[str, Any]]:
    """Load an embedded model: the CLIP in eval mode and float32, its tokenizer, its preprocessing.

    Raises InvalidInput for a name that is not embedded and CorruptFile for weights that do not fit.
    """
    config = model_config(name)
    with torch.random.fork_rng(devices=[]):
        model, tokenizer = build(config)
    try:
        stored = load(_resource(name, ".safetensors"))
        model.load_state_dict({key: value.float() for key, value in stored.items()})
    except (SafetensorError, RuntimeError) as error:
        raise CorruptFile(
            f"the weights of the embedded model {name} do not fit its configuration; install medforge again"
        ) from error
    return model.eval(), tokenizer, preprocessing(config)
