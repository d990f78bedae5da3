"""Reading what PyTorch pickled, without running any code that the file names.

A pickle calls what it names. Here only what rebuilds tensors and plain containers is what it says it is; everything
else (an optimiser, arguments, an epoch's numpy scalar, a whole module, TorchScript's objects) becomes a `Stranger`,
which keeps what the file says is in it and does nothing.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# what a storage's name in a file says of its values
STORAGE_TYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class Stranger:
    """Stand for an object of a class that is not ours to make: it keeps its state, and none of its code is there."""

    # not every stranger is made by calling it
    state: Any = None

    def __init__(self, *_arguments: object, **_named: object) -> None:
        """Take whatever its class would."""

    def __call__(self, *_arguments: object, **_named: object) -> Stranger:
        """Be called, where the file names something by calling what it named: nothing happens."""
        return Stranger()

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, _key: object, _value: object) -> None:
        """Leave out an item: a stranger may be a dictionary of a kind of its own."""

    def append(self, _value: object) -> None:
        """Leave out an element: a stranger may be a list of a kind of its own."""

    def extend(self, _values: object) -> None:
        """Leave out elements."""

    def add(self, _value: object) -> None:
        """Leave out an element: a stranger may be a set of a kind of its own."""

    @property
    def tensors(self) -> dict[str, Tensor] | None:
        """The parameters and buffers, by their names, of what was a module of PyTorch's or of TorchScript's."""
        return _of_module(self.state)


class WeightsUnpickler(pickle.Unpickler):
    """Unpickle tensors and plain containers; ``storage`` finds a tensor's values by how the file names them."""

    def __init__(self, data: bytes, storage: Callable[[torch.dtype, str, int], Tensor]) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name of the file stands for here."""
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        return _KNOWN.get((module, name), Stranger)

    def persistent_load(self, pid: Any) -> Tensor:
        """Return the values of a storage, one row; raises UnpicklingError for what is none."""
        match pid:
            case ("storage", torch.dtype() as dtype, str() as key, _, int() as count, *_):
                return self._storage(dtype, key, count)
        raise pickle.UnpicklingError("it names a storage in a way that is not known")


def _rebuild_tensor(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Tensor:
    # a size may be anything, and what lies outside of the storage is refused by torch
    return storage.as_strided(size, stride, offset)


def _rebuild_parameter(data: Tensor, *_: object) -> Tensor:
    return data


def _set(values: Iterable[Any] = ()) -> Any:
    try:
        return set(values)
    except TypeError:
        return Stranger()


_KNOWN: dict[tuple[str, str], Any] = {
    ("builtins", "set"): _set,
    ("__builtin__", "set"): _set,
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
    ("torch.nn.parameter", "Parameter"): _rebuild_parameter,
    ("torch", "Size"): torch.Size,
}


def _of_module(state: Any) -> dict[str, Tensor] | None:
    if not isinstance(state, dict):
        return None
    groups = [state.get(name) for name in ("_parameters", "_buffers", "_modules")]
    # PyTorch keeps a module's tensors in groups, TorchScript among its other attributes
    parts = [group for group in groups if isinstance(group, dict)] or [state]
    passing = state.get("_non_persistent_buffers_set")
    passing = passing if isinstance(passing, set) else ()
    found: dict[str, Tensor] = {}
    for name, value in (pair for part in parts for pair in part.items()):
        if isinstance(value, Tensor) and name not in passing:
            found[str(name)] = value
        elif isinstance(value, Stranger) and (below := value.tensors):
            found |= {f"{name}.{inside}": tensor for inside, tensor in below.items()}
    return found or None
