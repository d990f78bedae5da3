"""`medforge methods`: what every merge method says of itself, as a table and as JSON."""

from dataclasses import asdict
from typing import Any

from medforge.aggregator.merge import Listing, listings
from medforge.aggregator.merge.registry import provider

_CAPTION = """\
The first mode (level + coefficients) is the default. * gives the same for every order of arrival. Taking a branch out \
is exact under every mode: it costs one fold under *, otherwise the others are folded again. Passes through the \
network are counted for one image in a main branch of N."""


def as_plain() -> list[dict[str, Any]]:
    """Give every method as JSON values; a method of a package that cannot be used has its reason under ``broken``."""
    entries: list[dict[str, Any]] = []
    for name, listing in listings().items():
        if not isinstance(listing, Listing):
            entries.append({"name": name, "broken": listing.reason})
            continue
        modes = [
            {
                "level": mode[0],
                "coefficients": mode[1],
                "any_order": mode in listing.any_order,
                "withdrawal": listing.withdrawal(mode),
                "reference_objective": mode in listing.reference,
            }
            for mode in listing.modes
        ]
        entries.append(
            {
                "name": name,
                "summary": listing.summary,
                "source": listing.source,
                "package": provider(name),
                "modes": modes,
                "distilled": listing.distilled,
                "item": listing.item,
                "inference": listing.inference,
                "parameters": {key: asdict(parameter) for key, parameter in listing.parameters.items()},
            }
        )
    return entries


def print_table() -> None:
    """Print a row a method."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table(
        Column("method, modes", no_wrap=True),
        "what it does (source), parameters",
        Column("distilled data?", max_width=9),
        Column("a branch leaves", max_width=11),
        Column("passes", min_width=6, max_width=11),
        box=box.SIMPLE_HEAD,
    )
    for entry in as_plain():
        if "broken" in entry:
            table.add_row(f"[red]{escape(entry['name'])}[/]", f"cannot be used: {escape(entry['broken'])}")
            continue
        modes = [
            f"{mode['level']} + {mode['coefficients']}{' *' if mode['any_order'] else ''}" for mode in entry["modes"]
        ]
        table.add_row(
            "\n".join([f"[bold]{escape(entry['name'])}[/]", *modes]),
            escape("\n".join([f"{entry['summary']} ({_origin(entry)})", *_parameters(entry)])),
            "yes" if entry["distilled"] else "no",
            _leaving(entry),
            escape(entry["inference"]),
        )
    console = Console()
    console.print(table)
    console.print(_CAPTION, highlight=False)


def _origin(entry: dict[str, Any]) -> str:
    package = ", ".join(f"{name} {version}" for name, version in entry["package"].items())
    return f"{entry['source']}; from {package}" if package else str(entry["source"])


def _parameters(entry: dict[str, Any]) -> list[str]:
    return [
        f"{name} = {value['default']:g} ({value['low']:g} to {value['high']:g}): {value['meaning']}"
        for name, value in entry["parameters"].items()
    ]


def _leaving(entry: dict[str, Any]) -> str:
    free = [mode["any_order"] for mode in entry["modes"]]
    if all(free):
        return "one fold"
    return "*: one fold" if any(free) else "all again"
