"""`medforge sources`: the data sources that can be opened."""

from __future__ import annotations

from typing import Any

from medforge.cli.output import AsJson, say_json


def sources(as_json: AsJson = False) -> None:
    """List the data sources, also those of installed packages, with their options.

    Example:
        medforge sources
    """
    if as_json:
        say_json(as_plain())
    else:
        _print_table(as_plain())


def as_plain() -> list[dict[str, Any]]:
    """Return every source as JSON values; one of a package that cannot be used has its reason under ``broken``."""
    from medforge.client.data.catalogue import SOURCES
    from medforge.client.data.registration import COMMON_OPTIONS
    from medforge.registry import Defect

    entries: list[dict[str, Any]] = []
    for name, found in SOURCES.everything().items():
        if isinstance(found, Defect):
            entries.append({"name": name, "broken": found.reason})
            continue
        entries.append(
            {
                "name": name,
                "about": found.about,
                "options": [*found.options, *COMMON_OPTIONS],
                "words": None if found.words is None else list(found.words),
                "package": SOURCES.provider(name),
            }
        )
    return entries


def _print_table(entries: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table(Column("source", style="bold", no_wrap=True), "what it opens, and its options", box=box.SIMPLE_HEAD)
    for entry in entries:
        if "broken" in entry:
            table.add_row(f"[red]{escape(entry['name'])}[/]", f"cannot be used: {escape(entry['broken'])}")
            continue
        package = ", ".join(f"{name} {version}" for name, version in entry["package"].items())
        about = f"{entry['about']} (from {package})" if package else entry["about"]
        table.add_row(escape(entry["name"]), escape(f"{about}\n{', '.join(entry['options'])}"))
    Console().print(table)
