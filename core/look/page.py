"""The pages' templates: one look, nothing loaded from elsewhere."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined


def templates(package: str) -> Environment:
    """Return the environment of a package's own templates, and of `base.html.j2`, which they extend.

    It escapes every value and refuses unknown names.
    """
    folders = (files(package).joinpath("templates"), files("medforge.look"))

    def source(name: str) -> str | None:
        found = (folder.joinpath(name) for folder in folders)
        return next((file.read_text("utf-8") for file in found if file.is_file()), None)

    return Environment(
        loader=FunctionLoader(source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
