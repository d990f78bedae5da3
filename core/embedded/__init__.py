"""The embedded base `medforge-tiny`: a small CLIP that travels inside the package (see MODEL_CARD.md)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import torch
from open_clip import CLIP
from safetensors.torch import load
from torch import Tensor

from medforge.embedded.tokenizer import FoldedTokenizer
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import sha256_bytes

Tokenizer = Callable[[Sequence[str]], Tensor]
EMBEDDED: tuple[str, ...] = ("medforge-tiny",)

# sha256: what was published, so that bytes changed on their way or on this machine are not taken for it
DIGESTS = {
    "medforge_tiny.json": "95b9175077aeba67c558ef22b37e001f8cda8beecbc9496559833c84d46a7c36",
    "medforge_tiny.safetensors": "593054ca5fdc39eb3e209093e22ab2cde0252ccb281f969d8c25a48878c7affc",
}

MEAN: tuple[float, float, float] = (0.70, 0.55, 0.70)
STD: tuple[float, float, float] = (0.25, 0.25, 0.25)


def _read(file: str) -> bytes:
    place = files(__package__).joinpath(file)
    try:
        return place.read_bytes()
    except FileNotFoundError as error:
        raise CorruptFile(f"the embedded model file {place} is missing; install medforge again") from error


def _resource(name: str, suffix: str) -> bytes:
    file = name.replace("-", "_") + suffix
    data = _read(file)
    if sha256_bytes(data) != DIGESTS[file]:
        raise CorruptFile(
            f"the file {file} of the embedded model {name} is not the one that was published; install medforge again"
        )
    return data


def model_config(name: str = "medforge-tiny") -> dict[str, Any]:
    """Return the open_clip model configuration of an embedded model.

    Raises InvalidInput for a name that is not embedded and CorruptFile for bytes that were not published.
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

    Raises InvalidInput for a name that is not embedded and CorruptFile for bytes that were not published.
    """
    config = model_config(name)
    with torch.random.fork_rng(devices=[]):
        model, tokenizer = build(config)
    stored = load(_resource(name, ".safetensors"))
    model.load_state_dict({key: value.float() for key, value in stored.items()})
    return model.eval(), tokenizer, preprocessing(config)
