"""The command ``medforge`` itself: it knows its commands by name, and imports the one that is called."""

from __future__ import annotations

import click

from medforge import __version__
from medforge.cli.catalogue import PANELS, CommandEntry
from medforge.cli.panels import Page, Row

SUMMARY = "Build one medical foundation model from many centres' branches; no raw image travels."


class LazyGroup(click.Group):
    """Hold commands by their entries; one is imported when it is called, completed or asked for its help."""

    def __init__(self, name: str, entries: tuple[CommandEntry, ...], options: list[click.Parameter], help: str) -> None:
        super().__init__(name, params=options, invoke_without_command=True, help=help)
        self.entries = {entry.name: entry for entry in entries}
        self.callback = self._show_help

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the help."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing what it needs; None where there is none of that name."""
        entry = self.entries.get(cmd_name)
        if entry is not None and cmd_name not in self.commands:
            self.commands[cmd_name] = _load(entry)
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that was called. Raises UsageError naming the nearest for a name that there is not."""
        if not ctx.resilient_parsing and args[0] not in self.entries and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.entries, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"{ctx.command_path} --help lists the commands"
            raise click.UsageError(f"there is no command {args[0]!r}; {remedy}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
        """Return the commands that begin so, without importing them, and the options."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(e.name, help=e.summary) for e in self.entries.values() if e.name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands in their panels."""
        page = Page()
        page.usage(f"{ctx.command_path} COMMAND [ARGUMENTS] [OPTIONS]")
        page.paragraph(self.help or "")
        for title, entries in self.panels().items():
            page.panel(title, [Row(entry.name, entry.summary) for entry in entries])
        page.panel(
            "Options", [Row(", ".join(o.opts), o.help or "") for o in self.params if isinstance(o, click.Option)]
        )
        page.paragraph(f"{ctx.command_path} COMMAND --help explains a command and shows an example.")
        formatter.write(page.text())

    def panels(self) -> dict[str, list[CommandEntry]]:
        """Return the commands under the headings of the help."""
        return {"Commands": list(self.entries.values())}

    def _show_help(self) -> None:
        ctx = click.get_current_context()
        if ctx.invoked_subcommand is None:
            click.echo(ctx.get_help())


class CommandGroup(LazyGroup):
    """Be the command itself: every room's commands, and the options that stand alone."""

    def __init__(self, name: str, entries: tuple[CommandEntry, ...]) -> None:
        super().__init__(name, entries, _options(), SUMMARY)

    def panels(self) -> dict[str, list[CommandEntry]]:
        """Return the commands under the headings of the help."""
        return {panel: [e for e in self.entries.values() if e.panel == panel] for panel in PANELS}


def _load(entry: CommandEntry) -> click.Command:
    if entry.commands:
        return LazyGroup(entry.name, entry.commands, [_help_option()], entry.summary)
    from medforge.cli.command import load

    return load(entry)


def _options() -> list[click.Parameter]:
    def version(ctx: click.Context, _: click.Parameter, given: bool) -> None:
        if given and not ctx.resilient_parsing:
            click.echo(__version__)
            ctx.exit()

    def completion(ctx: click.Context, parameter: click.Parameter, given: bool) -> None:
        if given and not ctx.resilient_parsing:
            from medforge.cli.completion import install, show

            click.echo(install() if parameter.name == "install_completion" else show())
            ctx.exit()

    def flag(name: str, callback: object, meaning: str) -> click.Option:
        return click.Option([name], is_flag=True, is_eager=True, expose_value=False, callback=callback, help=meaning)

    return [
        flag("--version", version, "Print the version and stop."),
        flag("--install-completion", completion, "Let this shell complete commands, options and their values."),
        flag("--show-completion", completion, "Print what --install-completion would add, to add it by hand."),
        _help_option(),
    ]


def _help_option() -> click.Option:
    def show(ctx: click.Context, _: click.Parameter, given: bool) -> None:
        if given and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()

    return click.Option(
        ["--help"], is_flag=True, is_eager=True, expose_value=False, callback=show, help="Show this page."
    )
