"""`medforge methods`: the ways to merge."""

from __future__ import annotations

from medforge.cli.output import AsJson, say_json


def methods(as_json: AsJson = False) -> None:
    """List the merge methods, also those of installed packages.

    Example:
        medforge methods
    """
    from medforge.aggregator.cli.methods_table import as_plain, print_tables

    if as_json:
        say_json(as_plain())
    else:
        print_tables()
