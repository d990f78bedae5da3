"""One command: its function, made callable from the command line, and its help."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import click
import typer
from typer.core import TyperArgument, TyperCommand, TyperOption
from typer.models import ArgumentInfo
from typer.utils import get_params_from_function

from medforge.cli.catalogue import CommandEntry
from medforge.cli.option_groups import flattened
from medforge.cli.panels import Page, Row

_EXAMPLES = re.compile(r"^Examples?:\n", re.MULTILINE)


def load(entry: CommandEntry) -> Command:
    """Import the function of a command and return it as click calls it."""
    module, _, function = entry.target.partition(":")
    called = flattened(getattr(import_module(module), function))
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(entry.name, cls=Command)(called)
    command = typer.main.get_command(app)
    assert isinstance(command, Command)
    _explain_arguments(command, called)
    command.renamed = dict(entry.renamed)
    return command


class Command(TyperCommand):
    """Show help in panels, with the examples of the function's docstring, and name the new option for an old one."""

    renamed: dict[str, str]

    @property
    def description(self) -> list[str]:
        """The paragraphs of the docstring before its examples."""
        text = _EXAMPLES.split(self.help or "", maxsplit=1)[0]
        return [" ".join(part.split()) for part in text.strip().split("\n\n")]

    @property
    def examples(self) -> list[str]:
        """The command lines under "Example:" in the docstring."""
        _, *found = _EXAMPLES.split(self.help or "", maxsplit=1)
        return inspect.cleandoc("\n" + found[0]).splitlines() if found else []

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments. Raises UsageError naming the new option for one that was renamed."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if (new := self.renamed.get(error.option_name)) is None:
                raise
            raise click.UsageError(
                f"{error.option_name} is no option of {self.name} any more; give {new}", ctx
            ) from error

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write description, options by group, and examples."""
        page = Page()
        page.usage(" ".join([ctx.command_path, *self.collect_usage_pieces(ctx)]))
        for paragraph in self.description:
            page.paragraph(paragraph)
        panels: dict[str, list[Row]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            if not getattr(parameter, "hidden", False):
                panels.setdefault(panel_of(parameter), []).append(_row(parameter, ctx))
        for title, rows in panels.items():
            page.panel(title, rows)
        if self.examples:
            page.examples(self.examples)
        formatter.write(page.text())


def _explain_arguments(command: Command, function: Callable[..., Any]) -> None:
    """Put back the help of arguments, which click 8.5 takes from typer's."""
    for name, parameter in get_params_from_function(function).items():
        if isinstance(parameter.default, ArgumentInfo):
            argument = next(one for one in command.params if one.name == name)
            assert isinstance(argument, TyperArgument)
            argument.help = parameter.default.help


def panel_of(parameter: click.Parameter) -> str:
    """Return the heading under which the help shows a parameter."""
    if isinstance(parameter, click.Argument):
        return "Arguments"
    return getattr(parameter, "rich_help_panel", None) or "Options"


def _row(parameter: click.Parameter, ctx: click.Context) -> Row:
    meaning = getattr(parameter, "help", None) or ""
    if isinstance(parameter, TyperArgument):
        term = parameter.make_metavar(ctx)
    else:
        assert isinstance(parameter, click.Option)
        term = " / ".join(", ".join(names) for names in (parameter.opts, parameter.secondary_opts) if names)
        if not parameter.is_flag and not parameter.count:
            term += f" {parameter.make_metavar(ctx)}"
    notes = ", ".join(_notes(parameter, ctx))
    return Row(term, f"{meaning} [{notes}]" if notes else meaning)


def _notes(parameter: click.Parameter, ctx: click.Context) -> Sequence[str]:
    if parameter.required:
        return ["required"]
    default: Any = parameter.get_default(ctx, call=False)
    shown = isinstance(parameter, TyperOption) and parameter.show_default and not parameter.is_flag
    return [f"default: {default}"] if shown and default not in (None, (), "") else []
