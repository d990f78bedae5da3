"""The formats by name; which module writes each."""

from __future__ import annotations

from typing import NamedTuple

from medforge.errors import InvalidInput

TOLERANCE = 1e-3
"""By how much a logit may be off: what rounding comes to at a scale of a hundred, and far less than a wrong layer."""


class Format(NamedTuple):
    """Say what a format is in words, and which module writes it.

    The module has ``write(network, directory)``, which returns the Python lines that use what it wrote, and
    ``logits(network, directory, images, tokens)``: what the library that the format is for makes of it. That of onnx
    has `export_onnx`, for it takes a whole model.
    """

    what: str
    module: str


FORMATS = {
    "open_clip": Format("An open_clip model", "open_clip"),
    "hf": Format("A Hugging Face CLIPModel", "hugging_face"),
    "peft": Format("A PEFT adapter for open_clip's own model", "peft_own"),
    "peft-hf": Format("A PEFT adapter for Hugging Face's CLIPModel", "peft_hf"),
    "onnx": Format("An ONNX graph", "onnx"),
    "safetensors": Format("A weight change for an open_clip model", "safetensors"),
}


def check_format(name: str) -> None:
    """Raise InvalidInput for a format that there is not."""
    if name not in FORMATS:
        raise InvalidInput(f"there is no format {name[:100]!r}; choose one of {', '.join(FORMATS)}")
