"""`medforge methods`: what every merge method says of itself, as tables and as JSON."""

from dataclasses import asdict
from typing import Any

from medforge.aggregator.merge import Listing, listings
from medforge.aggregator.merge.catalogue import provider

_CAPTION = """\
A method's first mode is its default. Taking a branch out is exact under every mode: it costs one fold where the order \
of arrival makes no difference, otherwise the others are folded again. Passes through the network are counted for one \
image in a main branch of N. An arrival costs the same at every N, or in proportion to N: to their plugins, or to \
their images too."""


def as_plain() -> list[dict[str, Any]]:
    """Return every method as JSON values; a method of a package that cannot be used has its reason under ``broken``."""
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
                "passes": listing.passes(mode),
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
                "arrival": listing.arrival,
                "item": listing.item,
                "parameters": {key: asdict(parameter) for key, parameter in listing.parameters.items()},
            }
        )
    return entries


def print_tables() -> None:
    """Print what follows from each mode, then what each method does and takes."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    properties = Table(
        Column("method", style="bold", no_wrap=True),
        Column("level + coefficients", no_wrap=True),
        Column("distilled data?", max_width=9),
        Column("any order?", max_width=6),
        Column("a branch leaves", max_width=10),
        Column("passes an image", max_width=9),
        Column("an arrival costs", max_width=14),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    words = Table(
        Column("method", style="bold", no_wrap=True), "what it does (source), --parameter", box=box.SIMPLE_HEAD
    )
    for entry in as_plain():
        name = escape(entry["name"])
        if "broken" in entry:
            words.add_row(f"[red]{name}[/]", f"cannot be used: {escape(entry['broken'])}")
            continue
        for place, mode in enumerate(entry["modes"]):
            properties.add_row(
                "" if place else name,
                f"{mode['level']} + {mode['coefficients']}",
                "yes" if entry["distilled"] else "no",
                "yes" if mode["any_order"] else "no",
                "one fold" if mode["any_order"] else "all again",
                mode["passes"],
                "" if place else entry["arrival"],
            )
        what = f"{entry['summary']} ({_origin(entry)})"
        words.add_row(name, escape("\n".join([what, *_parameters(entry)])))
    console = Console()
    console.print(properties)
    console.print(_CAPTION, highlight=False)
    console.print()
    console.print(words)


def _origin(entry: dict[str, Any]) -> str:
    package = ", ".join(f"{name} {version}" for name, version in entry["package"].items())
    return f"{entry['source']}; from {package}" if package else str(entry["source"])


def _parameters(entry: dict[str, Any]) -> list[str]:
    return [
        f"{name} = {value['default']:g} ({value['low']:g} to {value['high']:g}): {value['meaning']}"
        for name, value in entry["parameters"].items()
    ]
