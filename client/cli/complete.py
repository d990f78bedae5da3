"""Values that a shell completes; each function returns those that begin as what was typed."""

from __future__ import annotations

from typing import get_args

from medforge.cli.complete import beginning


def sources(incomplete: str) -> list[str]:
    """Return the data sources, as in "folder:"."""
    from medforge.client.data.catalogue import names

    return [f"{name}:" for name in beginning(names(), incomplete)]


def recipes(incomplete: str) -> list[str]:
    """Return the recipes."""
    from medforge.client.recipes import RECIPES

    return beginning(RECIPES, incomplete)


def distillations(incomplete: str) -> list[str]:
    """Return the distillation methods."""
    from medforge.client.recipe import DistillMethod

    return beginning(get_args(DistillMethod), incomplete)


def plugin_kinds(incomplete: str) -> list[str]:
    """Return the kinds of plugin."""
    from medforge.plugin_settings import PluginKind

    return beginning(get_args(PluginKind), incomplete)


def splits(incomplete: str) -> list[str]:
    """Return the splits of a task."""
    return beginning(["train", "validation", "test"], incomplete)
