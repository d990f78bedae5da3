"""A file of a task's classes, each with its key and its prompt, as a maintainer writes or exports it."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from pydantic import ValidationError

from medforge.declared_task import DeclaredTask, TaskClass
from medforge.errors import InvalidInput, printable
from medforge.files import parse_json, read_file
from medforge.overrides import first_fault
from medforge.proto.signed_task import SignedTask

COLUMNS = ("key", "prompt")
_LONGEST = 1 << 20
_FORMS = "write a CSV with the columns key,prompt, or a line `key: prompt` for each class"


def read_classes(path: Path) -> tuple[TaskClass, ...]:
    """Read the classes of a task from a file: CSV with the columns key,prompt, lines `key: prompt`, or a task's JSON.

    The JSON is what `medforge task show --json` writes. Whether the classes make a task is not looked at. Raises
    InvalidInput naming the line that cannot be used.
    """
    data = read_file(path, "the classes")
    if len(data) > _LONGEST:
        raise InvalidInput(f"{path} has {len(data)} bytes, more than any list of classes; {_FORMS}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is not UTF-8 text ({error.reason}); save it again as plain text") from error
    if text.lstrip().startswith("{"):
        return _from_json(data, path)
    rows = _from_csv(text, path) if _is_csv(text) else _from_lines(text, path)
    classes = tuple(_class(key, prompt, line, path) for line, key, prompt in rows)
    if not classes:
        raise InvalidInput(f"{path} names no class; {_FORMS}")
    return classes


def _is_csv(text: str) -> bool:
    head = text.lstrip().partition("\n")[0]
    return {name.strip().strip('"').casefold() for name in head.split(",")} == set(COLUMNS)


def _from_csv(text: str, path: Path) -> Iterator[tuple[int, str, str]]:
    # line by line, so that a quote that is never closed is found in its line
    reader = csv.reader(StringIO(text.lstrip(), newline=""), strict=True, skipinitialspace=True)
    try:
        names = [name.strip().casefold() for name in next(reader)]
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(names):
                raise InvalidInput(
                    f"line {reader.line_num} of {path} has {len(row)} cells where a key and a prompt are due; put a "
                    f"prompt with a comma in double quotes"
                )
            cells = dict(zip(names, row, strict=True))
            yield reader.line_num, cells["key"], cells["prompt"]
    except csv.Error as error:
        raise InvalidInput(f"line {reader.line_num} of {path} is not CSV ({error}); {_FORMS}") from error


def _from_lines(text: str, path: Path) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        key, colon, prompt = line.partition(":")
        if not colon:
            raise InvalidInput(f"line {number} of {path} has no colon; {_FORMS}")
        yield number, key, prompt


def _from_json(data: bytes, path: Path) -> tuple[TaskClass, ...]:
    try:
        value = parse_json(data)
    except ValueError as error:
        raise InvalidInput(f"{path} is not JSON ({printable(str(error))}); {_FORMS}") from error
    if "signature" in value:
        return SignedTask.parse(data, str(path)).task.classes
    try:
        return DeclaredTask.model_validate(value).classes
    except ValidationError as error:
        raise InvalidInput(f"{path} is not a declared task ({printable(first_fault(error))}); {_FORMS}") from error


def _class(key: str, prompt: str, line: int, path: Path) -> TaskClass:
    try:
        return TaskClass(key=key.strip(), prompt=prompt.strip())
    except ValidationError as error:
        first = error.errors()[0]
        unseen = first["type"] == "string_pattern_mismatch"
        fault = (
            f"its {first['loc'][-1]} {'holds a character that cannot be seen' if unseen else 'is empty or too long'}"
        )
        raise InvalidInput(f"line {line} of {path} is not a class ({fault}); {_FORMS}") from error
