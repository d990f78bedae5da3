"""What open_clip knows of architectures and published weights, read from its source: its import takes seconds."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_QUICK = "quick_gelu"
Tags = Mapping[str, Mapping[str, Any]]


def package() -> Path | None:
    """Return the folder of the installed open_clip, or None where there is none."""
    found = find_spec("open_clip")
    places = found.submodule_search_locations if found else None
    return Path(next(iter(places))) if places else None


def architectures() -> tuple[str, ...]:
    """Return the names of open_clip's architectures, which are those of its configuration files."""
    folder = package()
    return tuple(sorted(file.stem for file in (folder / "model_configs").glob("*.json"))) if folder else ()


def config_of(architecture: str) -> dict[str, Any] | None:
    """Return open_clip's own configuration of an architecture, None for a name that it does not have."""
    if architecture not in architectures():
        return None
    folder = package()
    assert folder is not None
    found: dict[str, Any] = json.loads((folder / "model_configs" / f"{architecture}.json").read_text("utf-8"))
    return found


def tags_of(architecture: str) -> tuple[str, ...]:
    """Return the tags of the weights that open_clip knows for an architecture."""
    return tuple(weights_of(architecture))


def weights_of(architecture: str) -> Tags:
    """Return, by tag, what open_clip says of an architecture's published weights; open_clip itself is asked at last.

    Where they are (``url``, ``hf_hub``), whether they were trained with QuickGELU (``quick_gelu``), and with which
    ``mean``, ``std``, ``interpolation`` and ``resize_mode``. Its table is a dictionary of dictionaries, written out in
    one file, with those of QuickGELU listed a second time. A version that writes it in another way is imported.
    """
    read = _table()
    if read is None:
        from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

        return {tag: get_pretrained_cfg(architecture, tag) for tag in list_pretrained_tags_by_model(architecture)}
    return read.get(architecture, {})


@cache
def _table() -> Mapping[str, Tags] | None:
    folder = package()
    try:
        assert folder is not None
        constants = {name: ast.literal_eval(value) for name, value in _assigned(folder / "constants.py").items()}
        body = _body(folder / "pretrained.py")
        functions = {one.name: _returned(one, constants) for one in body if isinstance(one, ast.FunctionDef)}
        values = _assigned(folder / "pretrained.py")
        table: dict[str, Tags] = {}
        for architecture, named in _entries(values["_PRETRAINED"]).items():
            written = _entries(values[named.id] if isinstance(named, ast.Name) else named)
            weights = {tag: _facts(value, functions, constants) for tag, value in written.items()}
            table[architecture] = weights
            if quick := {tag: facts for tag, facts in weights.items() if facts.get(_QUICK)}:
                table[f"{architecture}-quickgelu"] = quick
    except (AssertionError, OSError, ValueError, SyntaxError, KeyError, TypeError):
        return None
    return table or None


def _body(file: Path) -> list[ast.stmt]:
    return ast.parse(file.read_text(encoding="utf-8")).body


def _assigned(file: Path) -> dict[str, ast.expr]:
    """Return what is assigned to single names at a file's outermost level."""
    return {
        statement.targets[0].id: statement.value
        for statement in _body(file)
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }


def _returned(function: ast.FunctionDef, constants: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a function that makes an entry gives it whatever it is called with; None for any other function."""
    last = function.body[-1]
    if not isinstance(last, ast.Return) or not isinstance(last.value, ast.Dict):
        return None
    given = {argument.arg for argument in function.args.args}
    return {
        ast.literal_eval(key): _value(value, constants)
        for key, value in zip(last.value.keys, last.value.values, strict=True)
        if key is not None and not (isinstance(value, ast.Name) and value.id in given)
    }


def _facts(call: ast.expr, functions: Mapping[str, Any], constants: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of one entry, which is a call as in `_pcfg(hf_hub="…", quick_gelu=True)`."""
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    assert not call.args
    usual = functions[call.func.id]
    assert usual is not None
    named = {str(keyword.arg): _value(keyword.value, constants) for keyword in call.keywords}
    return {"url": "", "hf_hub": "", **usual, **named}


def _value(value: ast.expr, constants: Mapping[str, Any]) -> Any:
    return constants[value.id] if isinstance(value, ast.Name) else ast.literal_eval(value)


def _entries(value: ast.expr) -> dict[str, ast.expr]:
    """Return the entries of a dictionary that is written as `{"key": …}` or `dict(key=…)`."""
    if isinstance(value, ast.Dict):
        pairs = zip((ast.literal_eval(key) for key in value.keys if key is not None), value.values, strict=True)
        return {str(key): entry for key, entry in pairs}
    assert isinstance(value, ast.Call)
    assert isinstance(value.func, ast.Name)
    assert value.func.id == "dict"
    return {str(keyword.arg): keyword.value for keyword in value.keywords}
