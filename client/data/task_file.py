"""A declared task as a file: what `medforge task show NAME --json` writes."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from medforge.declared_task import DeclaredTask
from medforge.errors import InvalidInput
from medforge.files import parse_json, read_file
from medforge.overrides import first_fault


def read_task_file(path: Path) -> DeclaredTask:
    """Read a declaration; what else the file says of the task is passed over. Raises InvalidInput for another file."""
    try:
        values = parse_json(read_file(path, "the declared task"))
        if not isinstance(values, dict):
            raise ValueError("it is no object")
        return DeclaredTask.model_validate({name: values[name] for name in DeclaredTask.model_fields if name in values})
    except ValidationError as error:
        raise _no_declaration(path, first_fault(error)) from error
    except ValueError as error:
        raise _no_declaration(path, str(error)) from error


def _no_declaration(path: Path, why: str) -> InvalidInput:
    return InvalidInput(f"{path} declares no task ({why}); write it with: medforge task show NAME --json")
