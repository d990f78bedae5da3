"""Options in groups: a command takes a dataclass where the command line has its fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from typer.models import OptionInfo


def flattened(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` as typer reads it: the options of a dataclass in place of a parameter of that dataclass.

    A dataclass's fields are annotated as a command's parameters are; its `PANEL`, if any, is the heading of its options
    in the help.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, type] = {}
    flat: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        hint = hints[parameter.name]
        if is_dataclass(hint):
            assert isinstance(hint, type)
            groups[parameter.name] = hint
            flat += _of_fields(hint)
        else:
            flat.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hint))

    @wraps(function)
    def call(**given: Any) -> Any:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        return function(**given)

    call.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return call


def _of_fields(group: type) -> list[inspect.Parameter]:
    hints, panel = get_type_hints(group, include_extras=True), getattr(group, "PANEL", None)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=_under(panel, hints[field.name]),
        )
        for field in fields(group)
    ]


def _under(panel: str | None, hint: Any) -> Any:
    """Put an option under the heading of its group, unless it names one itself."""
    if panel is None or get_origin(hint) is not Annotated:
        return hint
    kind, *marks = get_args(hint)
    for place, mark in enumerate(marks):
        if isinstance(mark, OptionInfo) and mark.rich_help_panel is None:
            marks[place] = copy(mark)
            marks[place].rich_help_panel = panel
    return Annotated[kind, *marks]
