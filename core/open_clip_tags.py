"""Which weights open_clip has for an architecture, read from its source: to import it takes five seconds."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_QUICK = "quick_gelu"


def package() -> Path | None:
    """Return the folder of the installed open_clip, or None where there is none."""
    found = find_spec("open_clip")
    places = found.submodule_search_locations if found else None
    return Path(next(iter(places))) if places else None


def tags_of(architecture: str) -> tuple[str, ...]:
    """Return the tags of the weights that open_clip knows for an architecture; open_clip itself is asked at last.

    Its table is a dictionary of dictionaries, written out in one file, with those of QuickGELU listed a second time. A
    version that writes it in another way is imported.
    """
    read = _table()
    if read is None:
        import open_clip

        return tuple(open_clip.list_pretrained_tags_by_model(architecture))
    return read.get(architecture, ())


@cache
def _table() -> dict[str, tuple[str, ...]] | None:
    folder = package()
    try:
        assert folder is not None
        body = ast.parse((folder / "pretrained.py").read_text(encoding="utf-8")).body
        values = {
            statement.targets[0].id: statement.value
            for statement in body
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        }
        table: dict[str, tuple[str, ...]] = {}
        for architecture, named in _entries(values["_PRETRAINED"]).items():
            weights = _entries(values[named.id] if isinstance(named, ast.Name) else named)
            table[architecture] = tuple(weights)
            if quick := tuple(tag for tag, value in weights.items() if _is_quick(value)):
                table[f"{architecture}-quickgelu"] = quick
    except (AssertionError, OSError, ValueError, SyntaxError, KeyError):
        return None
    return table or None


def _entries(value: ast.expr) -> dict[str, ast.expr]:
    """Return the entries of a dictionary that is written as `{"key": …}` or `dict(key=…)`."""
    if isinstance(value, ast.Dict):
        pairs = zip((ast.literal_eval(key) for key in value.keys if key is not None), value.values, strict=True)
        return {str(key): entry for key, entry in pairs}
    assert isinstance(value, ast.Call)
    assert isinstance(value.func, ast.Name)
    assert value.func.id == "dict"
    return {str(keyword.arg): keyword.value for keyword in value.keywords}


def _is_quick(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and any(
        keyword.arg == _QUICK and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        for keyword in value.keywords
    )
