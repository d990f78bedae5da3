"""Completion in the shell, by typer's scripts for bash, zsh, fish and PowerShell."""

from __future__ import annotations

import click

from medforge.errors import InvalidInput

NAME = "medforge"
COMPLETING = "_MEDFORGE_COMPLETE"  # the variable by which a shell asks


def complete(app: click.Command, asked: str) -> int:
    """Answer a shell that asks for completions (as "complete_bash"), and return the exit code."""
    from typer.completion import completion_init, shell_complete  # type: ignore[attr-defined]

    completion_init()
    return shell_complete(app, {}, NAME, COMPLETING, asked)


def install() -> str:
    """Add the script to the settings of the shell that called, and return where it is. Raises InvalidInput."""
    from typer.completion import install as add  # type: ignore[attr-defined]

    _, path = add(_shell(), NAME, COMPLETING)
    return f"completion is installed in {path}; it works in the next terminal"


def show() -> str:
    """Return the script for the shell that called. Raises InvalidInput."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    return get_completion_script(prog_name=NAME, complete_var=COMPLETING, shell=_shell())


def _shell() -> str:
    from shellingham import ShellDetectionFailure, detect_shell

    try:
        name, _ = detect_shell()
    except ShellDetectionFailure as error:
        raise InvalidInput("the shell is not known; call this from bash, zsh, fish or PowerShell") from error
    if name not in ("bash", "zsh", "fish", "powershell", "pwsh"):
        raise InvalidInput(f"{name} cannot complete; use bash, zsh, fish or PowerShell")
    return str(name)
