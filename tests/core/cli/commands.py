"""Every command of the assembled application, imported."""

import click

from medforge.cli import build_app
from medforge.cli.command import Command

APP = build_app()
CONTEXT = click.Context(APP, info_name="medforge")
NAMES = APP.list_commands(CONTEXT)


def command(name: str) -> Command:
    found = APP.get_command(CONTEXT, name)
    assert isinstance(found, Command)
    return found


def context(name: str) -> click.Context:
    return click.Context(command(name), parent=CONTEXT, info_name=name)
