"""`medforge checkout`: the merged model, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medforge.aggregator.cli.options import ReaderOptions
from medforge.errors import printable


def checkout(
    source: ReaderOptions,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory to write the merged model into; new or empty.")],
    commit: Annotated[
        str | None,
        typer.Option(metavar="COMMIT", help="Its digest, or the first letters of it. Default: the head."),
    ] = None,
) -> None:
    """Write the merged model (forge item) of a commit into a directory.

    Examples:
        medforge checkout --kit kit --out merged
        medforge checkout --forge forge --commit 1f0c9a2b --out merged
    """
    from medforge.aggregator.forge.reader import check_chain, choose_commit, open_reader
    from medforge.errors import InvalidInput

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(f"{out} is not an empty directory; give a new one with --out")
    with open_reader(source.forge, source.connection_if_asked(), source.ledger) as view:
        commits = view.commits()
        check_chain(commits)
        chosen = choose_commit(commits, commit)
        view.item(chosen).save(out)
    typer.echo(
        printable(
            f"commit {chosen.digest[:12]} (arrival {chosen.arrival}, {chosen.contributor}: {chosen.task}) is in {out}"
        )
    )
