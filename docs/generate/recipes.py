"""docs/reference-recipes.md, from the recipes' models."""

from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.generate.markdown import cell, code, notice, page, table
from medforge.client.privacy_settings import PrivacySettings
from medforge.client.recipe import DistillMethod, Recipe
from medforge.client.recipes import RECIPES, with_method, with_plugin
from medforge.plugin_settings import PluginKind

_INTRODUCTION = """
A recipe is the settings of a centre's work: how a plugin is trained (`train.…`) and how images are distilled
(`distill.…`). `paper` is what the papers publish, and the default on every base but the embedded one; `tiny`
was chosen on the validation splits of real images with `medforge-tiny`, and is its default; `demo` is shorter
still, for drawn images. `--recipe` chooses one, `--recipe-set NAME=VALUE` changes a setting of it, such as
`train.lr=0.001`.
"""


def build() -> str:
    """Return the page."""
    tables = [
        section
        for part, about in (("train", "Training"), ("distill", "Distillation"))
        for section in (f"## {about}", _differences({name: getattr(one, part) for name, one in RECIPES.items()}, part))
    ]
    kinds = [
        (code(f"--plugin {kind}"), *(_changed(recipe, with_plugin(recipe, kind)) for recipe in RECIPES.values()))
        for kind in get_args(PluginKind)
    ]
    methods = [
        (code(f"--distillation {name}"), *(_changed(recipe, with_method(recipe, name)) for recipe in RECIPES.values()))
        for name in get_args(DistillMethod)
    ]
    return page(
        notice("the recipes"),
        "# Recipes",
        _INTRODUCTION,
        *tables,
        "## Differential privacy",
        "Only with `--epsilon`, and the same in every recipe; [what they mean](explanation-privacy.md).",
        table(
            ("setting", "", ""),
            [
                (code(path), code(_text(value)), cell(info.description or ""))
                for path, (value, info) in _leaves(PrivacySettings(), "privacy")
            ],
        ),
        "## What a kind of plugin and a distillation method change",
        "A choice brings settings of its own into a recipe; what you set yourself comes after them.",
        table(("choice", *RECIPES), kinds + methods),
    )


def _differences(models: dict[str, BaseModel], prefix: str) -> str:
    fields = {name: dict(_leaves(model, prefix)) for name, model in models.items()}
    first = next(iter(fields.values()))
    rows = [
        (code(path), *(code(_text(fields[name][path][0])) for name in fields), cell(info.description or ""))
        for path, (_, info) in first.items()
    ]
    return table(("setting", *fields, ""), rows)


def _leaves(model: BaseModel, prefix: str) -> Iterator[tuple[str, tuple[object, FieldInfo]]]:
    for name, info in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", (value, info)


def _changed(before: Recipe, after: Recipe) -> str:
    old, new = (
        {path: value for part in ("train", "distill") for path, (value, _) in _leaves(getattr(one, part), part)}
        for one in (before, after)
    )
    return ", ".join(code(f"{path}={_text(new[path])}") for path in new if new[path] != old[path])


def _text(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value not in ("", {}, ()) else "none"
