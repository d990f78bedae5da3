"""Tensors as safetensors bytes, the same bytes for the same tensors."""

from collections.abc import Mapping
from math import prod
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from medforge.errors import CorruptFile
from medforge.files import canonical_json, parse_json

# safetensors keeps its metadata in a hash map, so a second key would make the order of the bytes random
_METADATA_KEY = "medforge"
_DTYPES = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}
_LONGEST_HEADER = 1 << 22
_MOST_DIMENSIONS = 8
# of the sizes other than 0, multiplied: an empty tensor has strides all the same
_LARGEST_STRIDE = 1 << 48


def dump_tensors(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, object] | None = None) -> bytes:
    """Serialise tensors in name order; ``metadata`` travels in the header as canonical JSON."""
    header = {_METADATA_KEY: canonical_json(dict(metadata or {})).decode()}
    return safetensors.torch.save(
        {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}, metadata=header
    )


def parse_tensors(data: bytes, what: str) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Read tensors and metadata back; the header is checked before anything is allocated.

    Raises CorruptFile, naming ``what``, for anything that is not a whole safetensors file of plain dtypes.
    """
    try:
        metadata = _check_header(data)
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError) as error:
        raise CorruptFile(f"{what} is not a whole safetensors file ({error}); make or fetch it again") from error
    return tensors, metadata


def read_metadata(path: Path) -> dict[str, object]:
    """Read a file's metadata, and no tensor; raises CorruptFile where its header cannot be read, OSError as `open`."""
    with path.open("rb") as file:
        length = file.read(8)
        header = file.read(min(int.from_bytes(length, "little"), _LONGEST_HEADER))
    try:
        return _check_header(length + header)
    except ValueError as error:
        raise CorruptFile(f"{path} is not a whole safetensors file ({error}); make or fetch it again") from error


def _check_header(data: bytes) -> dict[str, object]:
    """Check what safetensors would take at its word; returns the metadata. Raises ValueError."""
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        raise ValueError("it ends within its header")
    header = parse_json(data[8 : 8 + length], _LONGEST_HEADER)
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    texts = header.pop("__metadata__", {})
    for name, entry in header.items():
        _check_entry(name, entry)
    text = texts.get(_METADATA_KEY, "{}") if isinstance(texts, dict) else None
    metadata = parse_json(text, _LONGEST_HEADER) if isinstance(text, str) else None
    if not isinstance(metadata, dict):
        raise ValueError("its metadata are no object")
    return metadata


def _check_entry(name: str, entry: object) -> None:
    dtype, shape = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"{name[:100]!r} is of the dtype {str(dtype)[:100]!r}")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS or not all(type(size) is int for size in shape):
        raise ValueError(f"{name[:100]!r} has no usable shape")
    if min(shape, default=0) < 0 or prod(max(size, 1) for size in shape) > _LARGEST_STRIDE:
        raise ValueError(f"{name[:100]!r} has the shape {str(shape)[:100]}")
