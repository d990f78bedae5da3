"""The one command, ``medforge``: every room registers its own commands through an entry point."""

import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from medforge import __version__
from medforge.errors import MedForgeError

COMMANDS = "medforge.commands"
USER_MISTAKE = 2


def build_app() -> typer.Typer:
    """Assemble the command from the entry points of the group ``medforge.commands``."""
    app = typer.Typer(
        name="medforge",
        help="Build one medical foundation model from many centres' branches; no raw image travels.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback(invoke_without_command=True)
    def root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
        if version:
            typer.echo(__version__)
            raise typer.Exit

    for entry in sorted(entry_points(group=COMMANDS), key=lambda e: e.name):
        entry.load()(app)
    return app


def main() -> None:
    """Run the command; a mistake that somebody can mend ends in one sentence on stderr and exit code 2."""
    try:
        build_app()()
    except MedForgeError as error:
        print(f"medforge: {error}", file=sys.stderr)
        sys.exit(USER_MISTAKE)
    except KeyboardInterrupt:
        print("medforge: interrupted; run the same command again to go on where it stopped", file=sys.stderr)
        sys.exit(130)
