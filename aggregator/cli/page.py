"""`medforge page`: a forge as pages to look at, in a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medforge.aggregator.cli.options import ForgeDirectory, LedgerUrl
from medforge.cli.output import AsJson, say_json


def page(
    forge: ForgeDirectory,
    out: Annotated[
        Path, typer.Option(metavar="SITE", help="Directory for the pages: new, empty, or one that has them already.")
    ],
    ledger: LedgerUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write pages about a forge, to look at in a browser without a server or a network.

    They show the timeline, every task's score over time, contributors, branches with the reason why one is held,
    commits and the journal; they show no image. Run again, they are brought up to date.

    Example:
        medforge page --forge forge --out site
    """
    from medforge.aggregator.cli.maintain import opened_forge
    from medforge.aggregator.page.site import Site
    from medforge.aggregator.page.static_site import check_directory, write_site
    from medforge.progress import Progress

    with opened_forge(forge, ledger) as opened:
        check_directory(out, opened.settings.forge)
        site = Site(opened)
        site.update()
        with Progress("writing pages", sum(1 for _ in site.paths())) as bar:
            files, changed = write_site(site, out, bar.advance)
    if as_json:
        say_json({"directory": str(out), "files": files, "changed": changed})
    else:
        typer.echo(f"{out / 'index.html'} shows the forge ({files} files, {changed} of them new or changed)")
