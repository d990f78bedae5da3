"""The same numbers with any number of threads: one thread an operation, fixed chunks side by side, float64, a grid.

A floating-point sum depends on the order of its terms, and a library chooses that order by how many threads it has, by
the processor and by the size of the batch. What enters a forge item therefore runs through here.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

Result = TypeVar("Result")

GRID = 2.0**-20
# float32, in which a forge item is used, has no sum of squares of numbers much larger than this
_LARGEST = 1e18


class _OwnThreads(threading.local):
    """Know how many threads this thread may work on, and what others have worked for it, in CPU seconds.

    ``workers`` is None where none of its operations is held to one.
    """

    workers: int | None = None
    others_seconds: float = 0.0


class _ProcessThreads:
    """Know who holds the process's operations to one thread, and what to go back to; torch keeps one count for all."""

    lock = threading.Lock()
    torch_holders = 0
    torch_threads = 1
    blas_holders = 0
    blas_limits: threadpool_limits | None = None


_own = _OwnThreads()


@contextmanager
def one_thread() -> Iterator[None]:
    """Run every operation of torch, NumPy and SciPy on the thread that asks for it.

    `in_chunks` may still start others, as many as torch was allowed before. May be nested, and entered by several
    threads at once; meanwhile the whole process's operations run so.
    """
    with _torch_on_one(None), _blas_on_one():
        yield


def in_chunks(function: Callable[[slice], Result], count: int, size: int) -> list[Result]:
    """Call a function with consecutive slices of ``count`` items, ``size`` each, and return the results in their order.

    Every slice is computed on one thread, several at a time, as many as torch may use. The slices are the same however
    many threads there are. Gradient mode and other modes of torch belong to a thread: the function sets its own.
    """
    parts = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    with _torch_on_one(None):
        workers = min(_own.workers or 1, len(parts))
        if workers < 2:
            return [function(part) for part in parts]
        spent: list[float] = []
        try:
            with ThreadPoolExecutor(workers, "chunk") as pool:
                return list(pool.map(partial(_as_one_of_many, function, spent), parts))
        finally:
            _own.others_seconds += sum(spent)


def cpu_seconds() -> float:
    """Return the CPU seconds that this thread has worked, and those that `in_chunks` had others work for it."""
    return time.thread_time() + _own.others_seconds


class WideWeights:
    """Keep frozen float32 weights in float64 too, so that they are not converted at every use; for few, small ones.

    A weight that was changed in place since is converted anew.
    """

    def __init__(self, weights: Iterable[Tensor]) -> None:
        # for callers with and without gradients; and the weight itself is held, so that its id stays its own
        with torch.inference_mode(False), torch.no_grad():
            self._kept = {id(one): (one, one._version, one.double()) for one in weights if not one.requires_grad}

    def of(self, tensor: Tensor) -> Tensor:
        """Return a float32 tensor in float64."""
        kept = self._kept.get(id(tensor))
        unchanged = kept is not None and kept[1] == tensor._version and not tensor.requires_grad
        return kept[2] if kept is not None and unchanged else tensor.double()


_NOTHING_KEPT = WideWeights(())


def in_float64(compute: Callable[[], Result], kept: WideWeights = _NOTHING_KEPT) -> Result:
    """Return what is computed with every float32 tensor taken as float64, on one thread.

    Sums are then the same on every processor but for some 1e-13 of their size, which `on_grid` takes off. Outputs of
    linear layers that float32 could not have squared become NaN, as they would in float32 one step later. ``kept``
    saves time alone.
    """
    with _torch_on_one(None), _InFloat64(kept):
        return compute()


def to_float32(values: Tensor) -> Tensor:
    """Round to float32, also within `in_float64`."""
    with torch._C.DisableTorchFunction():
        return values.float()


def on_grid(values: Tensor) -> Tensor:
    """Round to the nearest multiple of 2⁻²⁰ (about 1e-6), as float64.

    What was computed in float64 differs by some 1e-13 from processor to processor, so that about one number in ten
    million falls to the other side of a rounding boundary; 1e-6 of a log-probability is far below what any number of
    distilled images can tell apart.
    """
    return (values.double() / GRID).round() * GRID


class _InFloat64(TorchFunctionMode):
    def __init__(self, kept: WideWeights) -> None:
        super().__init__()
        self._kept = kept

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        arguments: tuple[Any, ...] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        widened = torch.Tensor.double if function is torch.Tensor.float else function
        widen = self._widen
        result = widened(*map(widen, arguments), **{name: widen(value) for name, value in (named or {}).items()})
        if function in _LINEAR:
            lowest, highest = result.detach().aminmax()
            # also where one of them is no number, which no comparison holds for
            if not float(torch.maximum(-lowest, highest)) < _LARGEST:
                return result * float("nan")
        return result

    def _widen(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._kept.of(value) if value.dtype == torch.float32 else value
        if isinstance(value, list | tuple | dict):
            # it takes as long as a small operation, and next to no argument holds tensors inside
            return tree_map(self._widen, value)
        return torch.float64 if value is torch.float32 else value


_LINEAR = (torch.nn.functional.linear, torch._C._nn.linear)


def number_on_grid(value: float) -> float:
    """Round one finite number as `on_grid` does."""
    return round(value / GRID) * GRID


def _as_one_of_many(function: Callable[[slice], Result], spent: list[float], part: slice) -> Result:
    begun = time.thread_time()
    try:
        with _torch_on_one(1):
            return function(part)
    finally:
        spent.append(time.thread_time() - begun)


@contextmanager
def _torch_on_one(workers: int | None) -> Iterator[None]:
    if _own.workers is not None:
        yield
        return
    with _ProcessThreads.lock:
        if _ProcessThreads.torch_holders == 0:
            _ProcessThreads.torch_threads = torch.get_num_threads()
        _ProcessThreads.torch_holders += 1
        torch.set_num_threads(1)
    _own.workers = workers or _ProcessThreads.torch_threads
    try:
        yield
    finally:
        _own.workers = None
        with _ProcessThreads.lock:
            _ProcessThreads.torch_holders -= 1
            # not before: the count would change under those who are still at work
            if _ProcessThreads.torch_holders == 0:
                torch.set_num_threads(_ProcessThreads.torch_threads)


@contextmanager
def _blas_on_one() -> Iterator[None]:
    with _ProcessThreads.lock:
        if _ProcessThreads.blas_holders == 0:
            _ProcessThreads.blas_limits = threadpool_limits(1, user_api="blas")
        _ProcessThreads.blas_holders += 1
    try:
        yield
    finally:
        with _ProcessThreads.lock:
            _ProcessThreads.blas_holders -= 1
            if _ProcessThreads.blas_holders == 0 and _ProcessThreads.blas_limits is not None:
                _ProcessThreads.blas_limits.restore_original_limits()
                _ProcessThreads.blas_limits = None
