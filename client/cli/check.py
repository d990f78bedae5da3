"""`medforge check`: everything that is wrong with a data set, at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.cli.output import AsJson, say_json
from medforge.client.cli import complete
from medforge.files import check_results

if TYPE_CHECKING:
    from medforge.client.data.inspection.report import Inspection

REFUSED = 1
_MOST = 50


def check(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="Where the images are, as in folder:scans.",
            autocompletion=complete.sources,
        ),
    ],
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page with pictures of every class, for the site's own eyes."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the splits that are made here.")] = 0,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Let the same picture be in two splits or classes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every image of a data set and say all that is wrong with it, and what is worth knowing.

    Ends with 1 where something would stop training. What is found is remembered by content in the user's cache folder,
    so that a second run, and the training after it, is quick.

    Examples:
        medforge check folder:scans
        medforge check table:labels.csv --html scans.html
    """
    from medforge.client.data.catalogue import with_leaks
    from medforge.client.data.inspection.run import check as look

    check_results([html])
    checked = look(with_leaks(source) if allow_leaks else source, seed)
    if html is not None:
        from medforge.client.data.inspection.contact_sheets import contact_sheets
        from medforge.client.data.inspection.page import render
        from medforge.files import write_atomically

        sheets = contact_sheets(checked.task) if checked.task else []
        write_atomically(html, render(source, checked.found, sheets).encode("utf-8", "replace"))
    if as_json:
        say_json(checked.found.model_dump(mode="json"))
    else:
        _print(checked.found)
    if checked.found.problems:
        raise typer.Exit(REFUSED)


def _print(found: Inspection) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    console = Console()
    for title, findings in (("stops training", found.problems), ("worth knowing", found.warnings)):
        for one in findings[:_MOST]:
            console.print(f"[bold]{title}[/]: {escape(one.sentence)}", highlight=False, soft_wrap=True)
        if len(findings) > _MOST:
            console.print(f"… and {len(findings) - _MOST} more; --json lists all of them")
    parts = list(found.classes[0].images) if found.classes else []
    if parts:
        table = Table("class", *(Column(part, justify="right") for part in parts), box=box.SIMPLE_HEAD)
        for row in found.classes:
            table.add_row(escape(row.name), *(_cell(row.images[part], (row.groups or {}).get(part)) for part in parts))
        console.print(table)
    kept = f"; {found.together} kept together" if found.together else ""
    console.print(f"{found.images} images, splits: {found.split}{kept}", highlight=False)
    for related in found.related:
        if related.pairs:
            console.print(
                f"{related.pairs} pairs {_CALLED[related.relation]}, {related.across_splits} across splits, "
                f"{related.across_classes} across classes",
                highlight=False,
            )
    for size in found.sizes[:5]:
        if size.width:
            console.print(f"{size.images} of {size.width} × {size.height}, {size.mode}", highlight=False)
    if len(found.sizes) > 5:
        console.print(f"and {len(found.sizes) - 5} more sizes", highlight=False)


_CALLED = {"equal": "with equal bytes", "copy": "of copies", "look-alike": "of look-alikes"}


def _cell(images: int, groups: int | None) -> str:
    return str(images) if groups is None else f"{images} ({groups} groups)"
