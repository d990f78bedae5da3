"""What a reader finds alike everywhere: how errors are spelt, how docstrings begin, how long a function is."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from medforge import errors
from medforge.proto import errors as wire

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("core", "proto", "client", "aggregator", "model", "simulation")
ERRORS = {
    *(name for module in (errors, wire) for name, found in vars(module).items() if isinstance(found, type)),
    "BranchHeld",
    "EgressRefused",
    "Incomplete",
    "LedgerConflict",
    "WorkspaceBusy",
}
# how a docstring does not begin: "The …" says what something is, not what it does
NO_VERBS = {"A", "All", "An", "Each", "Either", "Everything", "How", "None", "One", "The", "What", "Whether", "Who"}

LONGEST = 60
MOST_PARAMETERS = 10


@cache
def trees() -> dict[str, ast.Module]:
    files = [file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py")) if "_pb2" not in file.name]
    return {str(file.relative_to(ROOT)): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def text_of(node: ast.expr) -> str | None:
    """The words of a text, … standing for what is filled in; None for what is no text written out."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else None


def sentences() -> Iterator[tuple[str, int, str]]:
    """The texts with which errors are made, by file and line."""
    for file, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args:
                name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                text = text_of(node.args[0]) if name in ERRORS else None
                if text is not None:
                    yield file, node.lineno, text


def test_errors_have_one_spelling() -> None:
    """Lower case, no full stop, remedy after a semicolon; what goes on with another error's words ends as that does."""
    found = list(sentences())
    assert len(found) > 450
    wrong = [
        one
        for one in found
        if one[2][0].isupper() or one[2].endswith(".") or not ("; " in one[2] or one[2].endswith((": …", ", and …")))
    ]
    assert wrong == []


def documented(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.ClassDef, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            said = ast.get_docstring(node)
            if said and not any(
                "property" in ast.unparse(decorator) for decorator in getattr(node, "decorator_list", [])
            ):
                yield node, said


def test_docstrings_begin_with_a_verb() -> None:
    """Imperative: ruff's D401 sees to functions, whose verbs it knows; this one to classes too. A property may name."""
    begun = [(file, node.lineno, said.split()[0]) for file, tree in trees().items() for node, said in documented(tree)]
    assert len(begun) > 1000
    wrong = [
        (file, line, word)
        for file, line, word in begun
        if not word[0].isupper()
        or not word.strip(".,:;").isalpha()
        or word in NO_VERBS
        or (word.endswith("s") and not word.endswith("ss"))
    ]
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_functions_are_short(room: str) -> None:
    """A command's options and help are its signature and docstring, which may be longer than what it does."""
    wrong = []
    for file, tree in trees().items():
        for node in ast.walk(tree):
            if not file.startswith(f"{room}/") or not isinstance(node, ast.FunctionDef):
                continue
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            arguments = node.args
            count = len([a for a in (*arguments.posonlyargs, *arguments.args) if a.arg not in ("self", "cls")])
            count += len(arguments.kwonlyargs)
            if lines > LONGEST or (count > MOST_PARAMETERS and "cli" not in file):
                wrong.append((file, node.name, lines, count))
    assert wrong == []
