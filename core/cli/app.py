"""Where the command begins and ends: the arguments go in, an exit code comes out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from medforge.cli.group import CommandGroup


def build_app() -> CommandGroup:
    """Return the command with all of the rooms' commands below it."""
    from medforge.cli.catalogue import entries
    from medforge.cli.completion import NAME
    from medforge.cli.group import CommandGroup

    return CommandGroup(NAME, entries())


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command on ``arguments`` (default: the process's own) and leave with its exit code.

    A mistake that somebody can mend ends in one sentence on stderr, as JSON where `--json` is among the arguments.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(_run(words))
    except (Exception, KeyboardInterrupt) as error:
        from medforge.cli.failures import report

        sys.exit(report(error, as_json="--json" in words))


def _run(words: list[str]) -> int:
    from medforge.cli.completion import COMPLETING, NAME, complete

    app = build_app()
    if asked := os.environ.get(COMPLETING):
        return complete(app, asked)
    from medforge.cli.loading import loading_said

    # not where a program reads what is printed: with --json, or serve's --log-format json
    read_by_program = any(word.endswith("json") for word in words)
    with nullcontext() if read_by_program else loading_said():
        # without standalone mode, so that mistakes and interruptions come here and not to click's own wording
        code = app.main(words, prog_name=NAME, standalone_mode=False)
    return code if isinstance(code, int) else 0
