"""docs/reference-cli.md, from the commands themselves."""

import re

import click

from docs.generate.markdown import cell, code, notice, page, table
from medforge.cli import build_app
from medforge.cli.catalogue import PANELS, entries, whole
from medforge.cli.command import Command, panel_of

_INTRODUCTION = """
Every command of `medforge`, as the program itself describes it (`medforge COMMAND --help`). What a command's
exit status means: [exit codes](reference-exit-codes.md). What `--merge` can name: [merge
methods](reference-merge-methods.md); what a recipe sets: [recipes](reference-recipes.md); what `SOURCE` can be:
[data sources](reference-sources.md).
"""


def build() -> str:
    """Return the page."""
    root = build_app()
    context = click.Context(root, info_name="medforge")
    names = {
        panel: [one.name for entry in entries() if entry.panel == panel for one in whole(entry)] for panel in PANELS
    }
    contents = "\n".join(f"- {panel}: {', '.join(map(_link, below))}" for panel, below in names.items())
    return page(
        notice("the commands"),
        "# The command line",
        _INTRODUCTION,
        contents,
        "## `medforge`",
        _options(root, context),
        *(_section(name, root, context) for below in names.values() for name in below),
    )


def _link(name: str) -> str:
    return f"[{name}](#medforge-{name.replace(' ', '-')})"


def _section(name: str, root: click.Group, parent: click.Context) -> str:
    first, *below = name.split()
    command, context = root.get_command(parent, first), parent
    for word in below:
        assert isinstance(command, click.Group)
        context = click.Context(command, info_name=first, parent=context)
        command = command.get_command(context, word)
    assert isinstance(command, Command)
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=context)
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    return page(
        f"## `medforge {name}`",
        *map(_prose, command.description),
        f"```text\n{usage}\n```",
        "For example:" if command.examples else "",
        "```sh\n" + "\n".join(command.examples) + "\n```" if command.examples else "",
        _options(command, context),
    )


def _prose(paragraph: str) -> str:
    """Return a paragraph of help as Markdown, in which a placeholder is no HTML."""
    return re.sub(r"<(?=\w)", "&lt;", paragraph)


def _options(command: click.Command, context: click.Context) -> str:
    panels: dict[str, list[tuple[str, str, str]]] = {"Arguments": []}
    for one in command.get_params(context):
        if not getattr(one, "hidden", False) and one.name != "help":
            row = (_term(one, context), cell(getattr(one, "help", "") or ""), _default(one, context))
            panels.setdefault(panel_of(one), []).append(row)
    return page(*(table((title.lower(), "", "default"), rows) for title, rows in panels.items() if rows))


def _term(parameter: click.Parameter, context: click.Context) -> str:
    if not isinstance(parameter, click.Option):
        return code(parameter.make_metavar(context))
    flags = " / ".join(", ".join(names) for names in (parameter.opts, parameter.secondary_opts) if names)
    return code(flags if parameter.is_flag or parameter.count else f"{flags} {parameter.make_metavar(context)}")


def _default(parameter: click.Parameter, context: click.Context) -> str:
    if parameter.required:
        return "required"
    if not isinstance(parameter, click.Option) or parameter.is_flag or not parameter.show_default:
        return ""
    default = parameter.get_default(context, call=False)
    return code(default) if default not in (None, (), "") else ""
