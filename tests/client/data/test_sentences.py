"""Every error of client/data is one sentence of one spelling: lower case, no full stop, remedy after a semicolon."""

import ast
from collections.abc import Iterator
from pathlib import Path

import medforge.client.data

ERRORS = {"InvalidInput", "CorruptFile"}


def sentences(file: Path) -> Iterator[tuple[int, str]]:
    """The texts with which a file raises its errors, … standing for what is filled in."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS):
            continue
        (text,) = node.args
        parts = text.values if isinstance(text, ast.JoinedStr) else [text]
        yield node.lineno, "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)


def test_errors_have_one_spelling() -> None:
    (folder,) = medforge.client.data.__path__
    found = [
        (file.name, line, text)
        for file in sorted(Path(folder).rglob("*.py"))
        for line, text in sentences(file.resolve())
    ]
    assert len(found) > 80
    wrong = [one for one in found if "; " not in one[2] or one[2].endswith(".") or one[2][0].isupper()]
    assert wrong == []
