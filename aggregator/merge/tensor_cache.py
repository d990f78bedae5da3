"""Tensors that are computed once and kept by what they depend on."""

import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import torch
from torch import Tensor

from medforge.errors import CorruptFile
from medforge.files import canonical_json, sha256_bytes, write_atomically
from medforge.tensors import dump_tensors, parse_tensors

_TENSORS = "tensors"


class TensorCache:
    """Keep tensors in memory, the ``most`` (None: all) last asked for, and in ``directory`` (None: in no file).

    A file that is missing, cut short, altered or in another's place is computed again. Its name begins with the digests
    of what the tensor was computed of, so that `forget` finds it. May be used by threads.
    """

    def __init__(self, directory: Path | None, most: int | None = None) -> None:
        self._directory = directory
        self._most = most
        # key → (what it was computed of, the tensor)
        self._held: OrderedDict[str, tuple[Sequence[str], Tensor]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, parts: Sequence[str], of: Sequence[str], compute: Callable[[], Tensor]) -> Tensor:
        """Return what is kept under the names and digests of everything it depends on, or compute and keep it.

        That is ``parts``, and ``of``: one or more digests by which it can be forgotten, the last the one that most
        tensors share.
        """
        key = sha256_bytes(canonical_json([*parts, *of]))
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key][1]
        path = self._path(key, of)
        kept = self._read(key, path)
        if kept is None:
            # an inference tensor could not be used in a later search with gradients
            kept = compute().clone()
            self._write(key, path, kept)
        with self._lock:
            self._held[key] = (of, kept)
            while self._most is not None and len(self._held) > self._most:
                self._held.popitem(last=False)
        return kept

    def forget(self, digests: Collection[str]) -> None:
        """Forget all that was computed of any of these, in memory and in files; what is kept of others stays."""
        with self._lock:
            for key in [key for key, (of, _) in self._held.items() if not set(digests).isdisjoint(of)]:
                del self._held[key]
        if self._directory is None:
            return
        # 0.1.0 did not say in a file's name what it was computed of
        for path in self._directory.glob("*.safetensors"):
            path.unlink(missing_ok=True)
        for digest in digests:
            shutil.rmtree(self._place(digest), ignore_errors=True)
            for path in self._directory.glob(f"{_TENSORS}/*/*{digest}*"):
                path.unlink(missing_ok=True)

    def _place(self, last: str) -> Path:
        assert self._directory is not None
        return self._directory / _TENSORS / last

    def _path(self, key: str, of: Sequence[str]) -> Path | None:
        return None if self._directory is None else self._place(of[-1]) / f"{'-'.join([*of[:-1], key])}.safetensors"

    def _read(self, key: str, path: Path | None) -> Tensor | None:
        if path is None or not path.is_file():
            return None
        try:
            tensors, metadata = parse_tensors(path.read_bytes(), str(path))
            values = tensors["values"]
        except (CorruptFile, OSError, KeyError):
            return None
        return values if metadata.get("digest") == _digest(key, values) else None

    def _write(self, key: str, path: Path | None, values: Tensor) -> None:
        if path is not None:
            content = dump_tensors({"values": values}, {"digest": _digest(key, values)})
            write_atomically(path, content, lasting=False)


def _digest(key: str, values: Tensor) -> str:
    content = values.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    return sha256_bytes(canonical_json([key, str(values.dtype), list(values.shape), sha256_bytes(content)]))
