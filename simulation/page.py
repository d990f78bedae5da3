"""The pages' templates: one look, nothing loaded from elsewhere."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined


def templates() -> Environment:
    """Return the environment that finds the packaged templates, escapes every value and refuses unknown names."""
    folder = files("medforge.simulation").joinpath("templates")
    return Environment(
        loader=FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
