"""The weights in a file, whatever program wrote it, read without running any code that is in it."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from medforge.bases.archive import archive_root, is_archive
from medforge.bases.pickled import Stranger, WeightsUnpickler
from medforge.errors import CorruptFile, InvalidInput

# where programs keep a model's weights inside of a training checkpoint, and what they put before every name
_PLACES = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights")
_BEFORE = ("module.", "_orig_mod.", "model.", "clip.", "network.")
# what OpenAI's archives hold beside the weights
_SIZES = ("input_resolution", "context_length", "vocab_size")


def read_weights(path: Path, what: str) -> dict[str, Tensor]:
    """Read a model's weights from a file of safetensors, of PyTorch's, or a TorchScript archive, as OpenAI publishes.

    Of a training checkpoint it is the model alone, without what a wrapper put before its names. ``what`` names the base
    module in sentences. Raises CorruptFile for a file that cannot be read, InvalidInput for one without a model.
    """
    found = _model_in(_read(path, what), what)
    for before in _BEFORE:
        if found and all(name.startswith(before) for name in found):
            found = {name.removeprefix(before): tensor for name, tensor in found.items()}
    return {name: tensor for name, tensor in found.items() if name not in _SIZES}


def _read(path: Path, what: str) -> Any:
    broken = f"{what} cannot be read: {path.name} is corrupt; fetch it again"
    try:
        with path.open("rb") as file:
            head = file.read(9)
        if is_archive(path):
            return _read_archive(path)
        # safetensors begins with the length of its header, which is JSON
        if head[8:9] == b"{":
            return load_file(path)
        return _read_old(path)
    except FileNotFoundError:
        raise InvalidInput(f"{what} has no file {path}; check the path") from None
    except OSError as error:
        raise InvalidInput(f"{what} cannot be read: {error.strerror or 'input or output failed'}; check it") from error
    except (SafetensorError, zipfile.BadZipFile, pickle.UnpicklingError, EOFError, RecursionError) as error:
        raise CorruptFile(broken) from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, MemoryError) as error:
        # a pickle that is no such thing fails wherever it first makes no sense
        raise CorruptFile(broken) from error


def _read_archive(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        root = archive_root(archive)
        if f"{root}/byteorder" in archive.namelist() and archive.read(f"{root}/byteorder") != b"little":
            raise ValueError("its numbers are written from the other end")
        kept: dict[str, Tensor] = {}

        def storage(dtype: torch.dtype, key: str, count: int) -> Tensor:
            if key not in kept:
                values = bytearray(archive.read(f"{root}/data/{key}"))
                kept[key] = torch.frombuffer(values, dtype=torch.uint8) if values else torch.empty(0, dtype=torch.uint8)
            return kept[key].view(dtype)[:count]

        return WeightsUnpickler(archive.read(f"{root}/data.pkl"), storage).load()


def _read_old(path: Path) -> Any:
    """Read what PyTorch wrote before 1.6: several pickles, then the values of every storage."""
    return torch.load(path, map_location="cpu", pickle_module=_OldFormat, weights_only=False)


class _OldFormat:
    """Be what `torch.load` takes for the module pickle, for a file of several pickles."""

    class Unpickler(pickle.Unpickler):
        """Unpickle as `WeightsUnpickler` does; torch itself finds the storages."""

        def find_class(self, module: str, name: str) -> Any:
            """Return what a name of the file stands for here."""
            found = WeightsUnpickler.find_class(self, module, name)  # type: ignore[arg-type]
            return _OLD.get(name, found) if module == "torch._utils" else found

    @staticmethod
    def load(file: Any, **named: Any) -> Any:
        """Read the next pickle of a file."""
        return _OldFormat.Unpickler(file, **named).load()


_OLD = {name: getattr(torch._utils, name) for name in ("_rebuild_tensor", "_rebuild_tensor_v2")}


def _model_in(found: Any, what: str) -> dict[str, Tensor]:
    """Return the weights of the one model that was read."""
    if (tensors := _tensors(found)) is not None:
        return tensors
    if isinstance(found, Mapping):
        for place in _PLACES:
            if (tensors := _tensors(found.get(place))) is not None:
                return tensors
        several = {str(name): inside for name, value in found.items() if (inside := _tensors(value)) is not None}
        if len(several) == 1:
            return next(iter(several.values()))
        if several:
            raise InvalidInput(
                f"{what} cannot be read: its file holds several sets of weights, {', '.join(sorted(several))[:300]}; "
                "save the one that you mean alone"
            )
    raise InvalidInput(f"{what} cannot be read: its file holds no weights; give a checkpoint of a CLIP model")


def _tensors(found: Any) -> dict[str, Tensor] | None:
    """Return the tensors by their names where something is a model's weights, None where it is not."""
    if isinstance(found, Stranger):
        return found.tensors
    if not isinstance(found, Mapping):
        return None
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    return tensors if tensors and len(tensors) * 2 > len(found) else None
