"""Tensors as safetensors bytes, the same bytes for the same tensors."""

import json
from collections.abc import Mapping

import safetensors
import safetensors.torch
import torch

from medforge.errors import CorruptFile
from medforge.files import canonical_json

# safetensors keeps its metadata in a hash map, so a second key would make the order of the bytes random
_METADATA_KEY = "medforge"


def dump_tensors(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, object] | None = None) -> bytes:
    """Serialise tensors in name order; ``metadata`` travels in the header as canonical JSON."""
    header = {_METADATA_KEY: canonical_json(dict(metadata or {})).decode()}
    return safetensors.torch.save(
        {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}, metadata=header
    )


def parse_tensors(data: bytes, what: str) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Read tensors and metadata back.

    Raises CorruptFile, naming ``what``, for anything that is not a whole safetensors file.
    """
    try:
        tensors = safetensors.torch.load(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        metadata = json.loads(header.get(_METADATA_KEY, "{}"))
    except (safetensors.SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise CorruptFile(f"{what} is not a whole safetensors file ({error}); make or fetch it again") from error
    return tensors, metadata
