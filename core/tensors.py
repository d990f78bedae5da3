"""Tensors as safetensors bytes, the same bytes for the same tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from mmap import mmap
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from medforge.errors import CorruptFile
from medforge.files import canonical_json, parse_json
from medforge.mapped_file import Bytes

# safetensors keeps its metadata in a hash map, so a second key would make the order of the bytes random
_METADATA_KEY = "medforge"
# in the order in which safetensors lays tensors out, which within one is that of their names
_DTYPES = {
    "I64": torch.int64,
    "F64": torch.float64,
    "F32": torch.float32,
    "I32": torch.int32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_ALIGNED = 8
_LONGEST_HEADER = 1 << 22
_MOST_DIMENSIONS = 8
# of the sizes other than 0, multiplied: an empty tensor has strides all the same
_LARGEST_STRIDE = 1 << 48


def dump_tensors(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, object] | None = None) -> bytes:
    """Serialise tensors in name order; ``metadata`` travels in the header as canonical JSON."""
    return safetensors.torch.save(
        {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}, metadata=metadata_texts(metadata)
    )


def parse_tensors(data: Bytes, what: str) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Read tensors and metadata back; the header is checked before anything is allocated.

    The tensors of a mapped file lie in it, and those of bytes are copies. Raises CorruptFile, naming ``what``, for
    anything that is not a whole safetensors file of plain dtypes.
    """
    try:
        entries, texts = _check_header(data)
        tensors = safetensors.torch.load(data) if isinstance(data, bytes) else _mapped(data, entries)
    except (safetensors.SafetensorError, ValueError) as error:
        raise CorruptFile(f"{what} is not a whole safetensors file ({error}); make or fetch it again") from error
    return tensors, _metadata(texts)


def read_metadata(path: Path) -> dict[str, object]:
    """Read a file's metadata, and no tensor; raises CorruptFile where its header cannot be read, OSError as `open`."""
    with path.open("rb") as file:
        length = file.read(8)
        header = file.read(min(int.from_bytes(length, "little"), _LONGEST_HEADER))
    try:
        return _metadata(_check_header(length + header)[1])
    except ValueError as error:
        raise CorruptFile(f"{path} is not a whole safetensors file ({error}); make or fetch it again") from error


def is_canonical(data: Bytes, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bool:
    """Say whether a file that these tensors were read from is spelled as safetensors itself spells them.

    The header says all that can differ: names, dtypes, shapes and where each tensor lies. So it alone is spelled again,
    and no tensor is copied for that. ``metadata`` are the header's texts.
    """
    header = _spelled_header(tensors, metadata)
    return bytes(data[: len(header)]) == header


def all_finite(tensor: torch.Tensor) -> bool:
    """Say whether every value is finite, by the least and the greatest: that takes a tenth of asking each."""
    return not tensor.numel() or all(bool(bound.isfinite()) for bound in tensor.aminmax())


def metadata_texts(metadata: Mapping[str, object] | None = None) -> dict[str, str]:
    """Return the header's texts that `dump_tensors` spells metadata as."""
    return {_METADATA_KEY: canonical_json(dict(metadata or {})).decode()}


def _spelled_header(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """Spell the length and header of a safetensors file; `tests/core/test_tensors.py` compares with the library's."""
    order = {dtype: (place, name) for place, (name, dtype) in enumerate(_DTYPES.items())}
    entries: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name in sorted(tensors, key=lambda name: (order[tensors[name].dtype][0], name.encode())):
        tensor = tensors[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": order[tensor.dtype][1], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNED)
    return len(text).to_bytes(8, "little") + text


def _mapped(data: mmap, entries: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors that lie in a mapped file. Raises ValueError unless they fill it, one after another."""
    start, end = 8 + int.from_bytes(data[:8], "little"), 0
    tensors = {}
    for name, entry in sorted(entries.items(), key=lambda item: _span(item[1])):
        begin, stop = _span(entry)
        shape, dtype = entry["shape"], _DTYPES[entry["dtype"]]
        if begin != end or stop - begin != prod(shape) * dtype.itemsize or start + stop > len(data):
            raise ValueError(f"{name[:100]!r} does not lie where its size says")
        end = stop
        # a tensor that is not aligned is copied
        place = start + begin
        tensors[name] = (
            torch.frombuffer(data, dtype=dtype, count=prod(shape), offset=place).view(shape)
            if prod(shape) and place % dtype.itemsize == 0
            else torch.frombuffer(bytearray(data[place : start + stop]), dtype=dtype).view(shape)
            if prod(shape)
            else torch.empty(shape, dtype=dtype)
        )
    if start + end != len(data):
        raise ValueError("it goes on after its last tensor")
    return tensors


def _span(entry: Any) -> tuple[int, int]:
    match entry:
        case {"data_offsets": [int(begin), int(end)]}:
            return begin, end
    raise ValueError("a tensor has no offsets")


def _metadata(texts: Mapping[str, str]) -> dict[str, object]:
    metadata: dict[str, object] = parse_json(texts.get(_METADATA_KEY, "{}"), _LONGEST_HEADER)
    return metadata


def _check_header(data: Bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """Check what safetensors would take at its word; returns the tensors' entries and the texts. Raises ValueError."""
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
    return header, texts


def _check_entry(name: str, entry: object) -> None:
    dtype, shape = (entry.get("dtype"), entry.get("shape")) if isinstance(entry, dict) else (None, None)
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"{name[:100]!r} is of the dtype {str(dtype)[:100]!r}")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS or not all(type(size) is int for size in shape):
        raise ValueError(f"{name[:100]!r} has no usable shape")
    if min(shape, default=0) < 0 or prod(max(size, 1) for size in shape) > _LARGEST_STRIDE:
        raise ValueError(f"{name[:100]!r} has the shape {str(shape)[:100]}")
