"""`medforge checkout`: the merged model, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medforge.aggregator.cli.options import ReaderOptions
from medforge.aggregator.cli.plain import spell_name
from medforge.cli.output import AsJson, say_json
from medforge.errors import printable


def checkout(
    source: ReaderOptions,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory to write the merged model into; new or empty.")],
    commit: Annotated[
        str | None,
        typer.Option(
            metavar="COMMIT",
            help="stable (the newest that sites have reviewed, the default), head (the newest of all), a tag, its "
            "digest or the first 8 or more letters of it, its arrival's number, or its task.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the merged model of a commit into a directory that needs nothing else but the base module.

    Beside the forge item (item/) it has model.json, which says what the model is, and a README for people.

    Examples:
        medforge checkout --kit kit --out merged
        medforge checkout --forge forge --commit 1f0c9a2b --out merged
    """
    from medforge.aggregator.forge.model_card import card_of
    from medforge.aggregator.forge.names import stable_or_named
    from medforge.files import check_new
    from medforge.model_directory import save_model

    check_new(out)
    with source.opened() as view:
        names, reviews = view.display_names(), view.reviews()
        chosen = stable_or_named(view, commit, view.tags(), reviews.stable)
        item, members = view.item(chosen), view.arrivals_by_number(chosen.members)
        card = card_of(chosen, item, view.identity(), members, names, view.privacy_claims())
        place, length = view.number_of(chosen.digest), view.page(0).length
        mark = reviews.mark_of(chosen, view)
    save_model(out, card, item)
    if as_json:
        about: dict[str, object] = {"arrival": chosen.arrival, "contributor": chosen.contributor, "task": chosen.task}
        about["display_name"] = names.get(chosen.contributor)
        about["reviews"] = mark
        say_json({"commit": chosen.digest, "item": chosen.item, **about, "directory": str(out)})
        return
    who = spell_name(chosen.contributor, names)
    typer.echo(printable(f"commit {chosen.digest[:8]} (arrival {chosen.arrival}, {who}: {chosen.task}) is in {out}"))
    newer = length - (place or length)
    if commit is None and newer:
        later = "1 later commit waits" if newer == 1 else f"{newer} later commits wait"
        typer.echo(f"it is the newest that sites have reviewed; {later} for reviews (--commit head has them)")
