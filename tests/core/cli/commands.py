"""Every command of the assembled application, imported; one below another has both names, as in "task add"."""

import click

from medforge.cli import build_app
from medforge.cli.catalogue import CommandEntry, entries, whole
from medforge.cli.command import Command

APP = build_app()
CONTEXT = click.Context(APP, info_name="medforge")
ENTRIES: dict[str, CommandEntry] = {one.name: one for entry in entries() for one in whole(entry)}
NAMES = list(ENTRIES)


def parent(name: str) -> click.Context:
    """The context in which a command is called."""
    above, _, _ = name.rpartition(" ")
    group = APP.get_command(CONTEXT, above) if above else None
    return CONTEXT if group is None else click.Context(group, info_name=above, parent=CONTEXT)


def command(name: str) -> Command:
    group = parent(name).command
    assert isinstance(group, click.Group)
    found = group.get_command(parent(name), name.rpartition(" ")[2])
    assert isinstance(found, Command)
    return found


def context(name: str) -> click.Context:
    return click.Context(command(name), parent=parent(name), info_name=name.rpartition(" ")[2])
