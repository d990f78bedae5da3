"""Tensors that are computed once and kept by what they depend on."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from medforge.errors import CorruptFile
from medforge.files import canonical_json, sha256_bytes, write_atomically
from medforge.tensors import dump_tensors, parse_tensors


class TensorCache:
    """Keep tensors in memory, the ``most`` (None: all) last asked for, and in ``directory`` (None: in no file).

    A file that is missing, cut short, altered or in another's place is computed again.
    """

    def __init__(self, directory: Path | None, most: int | None = None) -> None:
        self._directory = directory
        self._most = most
        self._held: OrderedDict[str, Tensor] = OrderedDict()

    def get(self, parts: list[str], compute: Callable[[], Tensor]) -> Tensor:
        """Return what is kept under the names and digests of everything it depends on, or compute and keep it."""
        key = sha256_bytes(canonical_json(parts))
        if key not in self._held:
            kept = self._read(key)
            if kept is None:
                # an inference tensor could not be used in a later search with gradients
                kept = compute().clone()
                self._write(key, kept)
            self._held[key] = kept
        self._held.move_to_end(key)
        while self._most is not None and len(self._held) > self._most:
            self._held.popitem(last=False)
        return self._held[key]

    def _path(self, key: str) -> Path | None:
        return None if self._directory is None else self._directory / f"{key}.safetensors"

    def _read(self, key: str) -> Tensor | None:
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            tensors, metadata = parse_tensors(path.read_bytes(), str(path))
            values = tensors["values"]
        except (CorruptFile, OSError, KeyError):
            return None
        return values if metadata.get("digest") == _digest(key, values) else None

    def _write(self, key: str, values: Tensor) -> None:
        path = self._path(key)
        if path is not None:
            write_atomically(path, dump_tensors({"values": values}, {"digest": _digest(key, values)}))


def _digest(key: str, values: Tensor) -> str:
    content = values.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    return sha256_bytes(canonical_json([key, str(values.dtype), list(values.shape), sha256_bytes(content)]))
