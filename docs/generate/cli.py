"""docs/reference-cli.md, from the commands themselves."""

import inspect

import click
from typer.main import get_command

from docs.generate.markdown import cell, code, notice, page, table
from medforge.cli import build_app

_INTRODUCTION = """
Every command of `medforge`, as the program itself describes it (`medforge COMMAND --help`). What a command's
exit status means: [exit codes](reference-exit-codes.md). What `--merge` can name: [merge
methods](reference-merge-methods.md); what a recipe sets: [recipes](reference-recipes.md); what `SOURCE` can be:
[data sources](reference-data-sources.md).
"""


def build() -> str:
    """Return the page."""
    root = get_command(build_app())
    assert isinstance(root, click.Group)
    context = click.Context(root, info_name="medforge")
    commands = [(name, root.commands[name]) for name in root.list_commands(context)]
    commands = [(name, command) for name, command in commands if not command.hidden]
    panels: dict[str, list[str]] = {}
    for name, command in commands:
        panels.setdefault(_panel(command), []).append(name)
    contents = "\n".join(
        f"- {f'{panel}: ' if panel else ''}{', '.join(f'[`{name}`](#medforge-{name})' for name in names)}"
        for panel, names in panels.items()
    )
    ordered = [(name, root.commands[name]) for names in panels.values() for name in names]
    return page(
        notice("the commands"),
        "# The command line",
        _INTRODUCTION,
        contents,
        "## `medforge`",
        _paragraphs(root.help),
        _options(root, context),
        *(_section(name, command, context) for name, command in ordered),
    )


def _section(name: str, command: click.Command, parent: click.Context) -> str:
    context = click.Context(command, info_name=name, parent=parent)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"## `medforge {name}`", _paragraphs(command.help), f"```text\n{usage}\n```"]
    if command.epilog:
        parts.append(_paragraphs(command.epilog))
    parts += [_arguments(command), _options(command, context)]
    if isinstance(command, click.Group):
        parts += [_section(f"{name} {inner}", one, context) for inner, one in sorted(command.commands.items())]
    return page(*parts)


def _arguments(command: click.Command) -> str:
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    rows = [(code(one.make_metavar(click.Context(command))), cell(getattr(one, "help", "") or "")) for one in arguments]
    return table(("argument", ""), rows) if rows else ""


def _options(command: click.Command, context: click.Context) -> str:
    rows = [
        (_names(one, context), cell(one.help or ""), _default(one))
        for one in command.get_params(context)
        if isinstance(one, click.Option) and not one.hidden and one.name != "help"
    ]
    return table(("option", "", "default"), rows) if rows else ""


def _names(option: click.Option, context: click.Context) -> str:
    flags = ", ".join(option.opts) + (f" / {', '.join(option.secondary_opts)}" if option.secondary_opts else "")
    return code(flags if option.is_flag else f"{flags} {option.make_metavar(context)}")


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    shown = option.show_default
    if isinstance(shown, str):
        return cell(shown)
    value = option.default
    if option.is_flag or shown is False or value is None or callable(value) or value == () or "UNSET" in repr(value):
        return ""
    return code(getattr(value, "value", value))


def _panel(command: click.Command) -> str:
    panel = getattr(command, "rich_help_panel", None)
    return panel if isinstance(panel, str) else ""


def _paragraphs(text: str | None) -> str:
    """Return help as Markdown: typer marks paragraphs whose lines must stay as they are with a form of backspace."""
    return inspect.cleandoc(text or "").replace("\b\n", "").replace("\b", "").split("\f")[0]
