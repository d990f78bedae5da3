"""The one command, ``medforge``: every room lists its commands, and a command is imported when it is called."""

from medforge.cli.app import build_app, main

__all__ = ["build_app", "main"]
