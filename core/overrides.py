"""Settings changed by what a user types, such as ``limits.branch=2GiB``."""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from medforge.errors import InvalidInput

Settings = TypeVar("Settings", bound=BaseModel)


def apply_changes(settings: Settings, changes: Sequence[str], what: str, form: str) -> Settings:
    """Return ``settings`` with ``changes`` such as "group.name=value" applied; "none" stands for None.

    ``what`` names the settings in a mistake's sentence, ``form`` says how a change is written. Only settings inside a
    group can be changed.

    Raises InvalidInput naming the change for an unknown setting or a value that does not fit it.
    """
    values: dict[str, Any] = settings.model_dump()
    for change in changes:
        key, _, text = (part.strip() for part in change.partition("="))
        *path, last = key.split(".")
        node: Any = values
        for part in path:
            node = node.get(part) if isinstance(node, dict) else None
        if not text or not path or not isinstance(node, dict) or isinstance(node.get(last, {}), dict):
            raise InvalidInput(f"{change!r} changes no setting of the {what}; write it as {form}")
        node[last] = None if text.lower() == "none" else text
    try:
        return type(settings).model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        if isinstance(first["input"], dict):
            raise InvalidInput(reason) from error
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(
            f"the {what} setting {where} cannot be {first['input']!r}; {reason[:1].lower()}{reason[1:]}"
        ) from error


def first_fault(error: ValidationError) -> str:
    """Say which field of a file or a peer's text is wrong first, and why: "field: reason"."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
