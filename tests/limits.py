"""Numbers at and beyond every bound that a pydantic model declares, found by walking the model."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

Path = tuple[str | int, ...]
# in no model's bounds, and where programs break: int32, int64, float32 and float64 end, subnormal, not finite, too long
ODD: tuple[Any, ...] = (
    0, 1, -1, 2, 0.5, -0.0, 5e-324, 1e-320, 2**31 - 1, 2**31, 2**32, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64,
    10**30, 3.5e38, 1.7976931348623157e308, -1.7976931348623157e308, float("inf"), float("-inf"), float("nan"),
)  # fmt: skip
TOO_LONG = 10**5000
"""More digits than Python reads from a text."""


def numbers_of(model: type[BaseModel], at: Path = ()) -> Iterator[tuple[Path, tuple[Any, ...]]]:
    """Yield by path every numeric field of a model, also inside others, with numbers at its bounds and beyond."""
    for name, field in model.model_fields.items():
        yield from _inside(field.annotation, field.metadata, (*at, name))


def placed(document: Mapping[str, Any], path: Path, value: object) -> dict[str, Any]:
    """Return a JSON document with a value put at a path; a list or an object that is not there is made."""
    changed: dict[str, Any] = json.loads(json.dumps(document))
    node: Any = changed
    for step, following in pairwise(path):
        missing: Any = [] if isinstance(following, int) else {}
        if isinstance(node, list):
            while len(node) <= int(step):
                node.append(None)
            node[int(step)] = node[int(step)] if node[int(step)] is not None else missing
        elif node.get(step) is None:
            node[step] = missing
        node = node[step]
    last = path[-1]
    if isinstance(node, list):
        while len(node) <= int(last):
            node.append(0)
    node[last] = value
    return changed


def _inside(annotation: Any, metadata: Sequence[Any], at: Path) -> Iterator[tuple[Path, tuple[Any, ...]]]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        yield from _inside(arguments[0], [*metadata, *arguments[1:]], at)
    elif annotation in (int, float):
        yield at, (*_at_bounds(annotation, metadata), *ODD)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield from numbers_of(annotation, at)
    elif origin in (typing.Union, types.UnionType):
        for argument in arguments:
            yield from _inside(argument, metadata, at)
    elif origin in (tuple, list):
        yield from _inside(arguments[0], (), (*at, 0))
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield from _inside(arguments[1], (), (*at, "visual.trunk"))


def _at_bounds(kind: type, metadata: Sequence[Any]) -> Iterator[Any]:
    step = 1 if kind is int else 1e-9
    for one in metadata:
        for bound in one.metadata if isinstance(one, FieldInfo) else (one,):
            for name in ("ge", "gt", "le", "lt"):
                if isinstance(bound, annotated_types.BaseMetadata) and hasattr(bound, name):
                    value = getattr(bound, name)
                    yield from (value, value - step, value + step)
