"""What commands there are: each room lists its own, in words that cost nothing to read."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple

# Named here rather than found as entry points: reading the metadata of every installed package takes longer than the
# whole of `medforge --help`.
ROOMS = ("medforge.client.cli", "medforge.aggregator.cli", "medforge.model.cli", "medforge.simulation.cli")

# headings of `medforge --help`, in this order
PANELS = ("Centre", "Model", "Maintainer", "Research")


class CommandEntry(NamedTuple):
    """Name a command, and where its function is; a room's `COMMANDS` is a tuple of these.

    `summary` is one line for `medforge --help`, the same as the first line of the function's docstring. `renamed` maps
    options that the command had to the ones it has, so that who types an old one is told the new one. A command that
    has `commands` below it has no function of its own.
    """

    name: str
    panel: str
    summary: str
    target: str = ""
    renamed: Mapping[str, str] = {}
    commands: tuple[CommandEntry, ...] = ()


def entries() -> tuple[CommandEntry, ...]:
    """Return every command, in the order of the panels, then as the rooms list them."""
    listed = [entry for room in ROOMS for entry in import_module(room).COMMANDS]
    return tuple(sorted(listed, key=lambda entry: PANELS.index(entry.panel)))


def whole(entry: CommandEntry) -> tuple[CommandEntry, ...]:
    """Return what can be called of an entry: itself, or each command below it under its whole name, "task add"."""
    return tuple(below._replace(name=f"{entry.name} {below.name}") for below in entry.commands) or (entry,)
