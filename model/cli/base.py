"""`medforge base`: what a base module's spec would run, and a copy of it for a machine without internet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medforge.cli import complete
from medforge.cli.output import AsJson, say, say_json

Spec = Annotated[
    str, typer.Argument(metavar="SPEC", help="The base module, as --base takes it.", autocompletion=complete.bases)
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
    spec: Spec,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory to write into; new or empty.")],
    as_json: AsJson = False,
) -> None:
    """Write all that a base module needs into a directory, for a machine without internet.

    There `--base hf-local:DIR` is the same base module, by the same fingerprint.

    Example:
        medforge base fetch ViT-B-16/openai --out vit-b-16-openai
    """
    from medforge.base_check import check_base
    from medforge.files import check_new

    check_new(out)
    check_base(spec)

    from medforge.base import load_base
    from medforge.bases.fetching import fetch_base

    fetched = fetch_base(spec, out)
    # proven before it is carried anywhere
    fingerprint = load_base(f"hf-local:{out}", "cpu").fingerprint
    if as_json:
        say_json({"spec": spec, "directory": str(out), "fingerprint": fingerprint, "bytes": fetched.size})
        return
    say(
        f"{spec} is in {out}, {fetched.size / 1e6:.0f} MB, fingerprint {fingerprint[:12]}; where it is copied to give "
        "--base hf-local:DIR"
    )


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
