"""An adapter's directory as PEFT writes it: its configuration, and its tensors, read without running anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from medforge.errors import CorruptFile, InvalidBranch, InvalidInput
from medforge.files import parse_json, read_file
from medforge.peft_format import BASE_KEY, CONFIG_FILE, PREFIX, WEIGHTS_FILE
from medforge.tensors import parse_tensors

PICKLE_FILE = "adapter_model.bin"
_LONGEST = 1 << 20
_PART = re.compile(r"(.+)\.lora_(A|B|E|magnitude_vector)(?:\.weight)?")


@dataclass(frozen=True, eq=False)
class AdapterFiles:
    """Hold what an adapter's directory holds: ``layers`` have, by a layer's name, A, B, E or magnitude_vector."""

    where: Path
    config: Mapping[str, Any]
    layers: Mapping[str, Mapping[str, Tensor]]
    base: str | None


def read_adapter(directory: Path) -> AdapterFiles:
    """Read a directory; raises InvalidInput, CorruptFile or InvalidBranch with the reason."""
    config = read_configuration(directory)
    tensors, base = _tensors(directory)
    return AdapterFiles(directory, config, _by_layer(directory, tensors), base)


def read_configuration(directory: Path) -> dict[str, Any]:
    """Read an adapter's configuration alone; raises InvalidInput or CorruptFile with the reason."""
    try:
        config = parse_json(read_file(directory / CONFIG_FILE, "the adapter"), _LONGEST)
    except ValueError as error:
        raise CorruptFile(f"{directory / CONFIG_FILE} is no JSON ({error}); fetch the adapter again") from error
    if not isinstance(config, dict):
        raise CorruptFile(f"{directory / CONFIG_FILE} is no object; fetch the adapter again")
    return config


def _tensors(directory: Path) -> tuple[Mapping[str, Tensor], str | None]:
    """Return the tensors by name, and the base's fingerprint where it is given."""
    path = directory / WEIGHTS_FILE
    if path.is_file():
        tensors, _ = parse_tensors(read_file(path, "the adapter"), str(path))
        with safe_open(path, "pt") as file:
            return tensors, (file.metadata() or {}).get(BASE_KEY)
    path = directory / PICKLE_FILE
    if not path.is_file():
        raise InvalidInput(f"{directory} has neither {WEIGHTS_FILE} nor {PICKLE_FILE}; give a PEFT adapter's directory")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch's own words would have the reader run what the file holds
        raise CorruptFile(f"{path} holds more than tensors, or is cut short; save it as safetensors") from error
    if not isinstance(found, dict) or not all(isinstance(one, Tensor) for one in found.values()):
        raise CorruptFile(f"{path} is no dictionary of tensors; save it as safetensors")
    return found, None


def _by_layer(where: Path, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        named = _PART.fullmatch(name.removeprefix(PREFIX))
        if not name.startswith(PREFIX) or named is None or not tensor.is_floating_point():
            raise InvalidBranch(
                f"{where} holds {name[:200]!r}, which is no tensor of a LoRA, a DoRA or an AdaLoRA; give one of these"
            )
        # a fresh layer for every name: one whose name comes twice, with .weight and without, is refused
        parts = layers.setdefault(named[1].replace(".base_layer", ""), {})
        if named[2] in parts:
            raise InvalidBranch(f"{where} holds {named[1][:200]!r} twice; save the adapter again")
        parts[named[2]] = tensor.float()
    return layers
