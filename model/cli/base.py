"""`medforge base`: what a base module's spec would run, and a copy of it for a machine without internet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medforge.cli import complete
from medforge.cli.output import AsJson, say, say_json
from medforge.proto.options import ConnectionOptions

Spec = Annotated[
    str, typer.Argument(metavar="SPEC", help="The base module, as --base takes it.", autocompletion=complete.bases)
]

MaybeSpec = Annotated[
    str | None,
    typer.Argument(metavar="SPEC", help="The base module, as --base takes it.", autocompletion=complete.bases),
]


def show(spec: Spec, as_json: AsJson = False) -> None:
    """Say what a base module's spec would run, and whether all of it is on this machine.

    Nothing is loaded or fetched. What a file cannot say of itself, such as which activation its weights were trained
    with, is named.

    Examples:
        medforge base show ViT-B-16/openai
        medforge base show hf-local:/models/biomedclip
    """
    from medforge.bases.showing import show_base

    shown = show_base(spec)
    if as_json:
        say_json(shown)
        return
    _print_table(shown)


def fetch(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory to write into; new or empty.")],
    forge: ConnectionOptions,
    spec: MaybeSpec = None,
    as_json: AsJson = False,
) -> None:
    """Write all that a base module needs into a directory, for a machine without internet.

    There `--base hf-local:DIR` is the same base module, by the same fingerprint. With a kit it is the forge's own, and
    comes from there: a hospital then needs no other connection. Run it again after an interruption, and it goes on.

    Examples:
        medforge base fetch ViT-B-16/openai --out vit-b-16-openai
        medforge base fetch --kit kit --out base
    """
    from medforge.errors import InvalidInput
    from medforge.files import check_new

    check_new(out)
    connection = forge.connection_if_asked()
    if (spec is None) == (connection is None):
        raise InvalidInput("name the base module by its spec, or the forge whose it is with --kit DIR; one of the two")
    if connection is not None:
        from medforge.client.forge_base import fetch_from_forge

        spec, fingerprint = fetch_from_forge(connection, out)
    else:
        spec, fingerprint = str(spec), _fetched(str(spec), out)
    fetched = out.is_dir() and any(out.iterdir())
    size = sum(path.stat().st_size for path in out.iterdir()) if fetched else 0
    if as_json:
        say_json({"spec": spec, "directory": str(out) if fetched else None, "fingerprint": fingerprint, "bytes": size})
        return
    if not fetched:
        say(f"the forge's base module, {spec}, is inside MedForge: there is nothing to fetch; give --base {spec}")
        return
    say(
        f"{spec} is in {out}, {size / 1e6:.0f} MB, fingerprint {fingerprint[:12]}; give --base hf-local:{out} here, or "
        "--base hf-local:DIR where it is copied to"
    )


def _fetched(spec: str, out: Path) -> str:
    from medforge.base_check import check_base

    check_base(spec)

    from medforge.base import load_base
    from medforge.bases.fetching import fetch_base

    fetch_base(spec, out)
    # proven before it is carried anywhere
    return load_base(f"hf-local:{out}", "cpu").fingerprint


def _print_table(shown: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    from medforge.errors import printable

    table = Table(
        Column("", style="bold", no_wrap=True), Column("", overflow="fold"), box=box.SIMPLE_HEAD, show_header=False
    )
    for name, value in _rows(shown):
        table.add_row(name, escape(printable(value)))
    Console().print(table)


def _rows(shown: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("base module", shown["spec"])]
    if shown["architecture"] is not None:
        seen = shown["preprocessing"]
        way = {"shortest": "shortest side, centre square", "longest": "longest side, filled up", "squash": "squashed"}
        mean, std = (" ".join(f"{one:g}" for one in seen[name]) for name in ("mean", "std"))
        rows += [
            ("image tower", shown["tower"]),
            ("text tower", f"{shown['text']}, tokenizer {shown['tokenizer']}"),
            ("activation", f"{shown['activation']}, {shown['activation_from']}"),
            ("images", f"{seen['size']} pixels, {way[seen['resize_mode']]}, {seen['interpolation']}"),
            ("", f"mean {mean}, deviation {std}"),
        ]
    rows.append(("weights", shown["weights"] or "not on this machine"))
    rows.append(("here", "all of it" if shown["here"] else f"no: it lacks {', '.join(shown['missing'])}"))
    rows += [("", shown["why"])] if shown["why"] else []
    return rows + [("note", note) for note in shown["notes"]]
