"""`medforge import`: an adapter that was trained with PEFT, as a plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medforge.cli import complete
from medforge.cli.output import AsJson, say, say_json


def import_adapter(
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help="A directory that PEFT wrote.")],
    base: Annotated[
        str,
        typer.Option(
            metavar="SPEC", help="Base module whose weights it was trained on.", autocompletion=complete.bases
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory to write the plugin into; new or empty.")],
    as_json: AsJson = False,
) -> None:
    """Read a PEFT adapter that was trained elsewhere as a plugin, with the same weight change.

    LoRA, rsLoRA, DoRA and AdaLoRA of query, value and projection of a CLIP's image tower, trained on Hugging Face's
    CLIP or on open_clip's own. Other methods are refused by name.

    Example:
        medforge import adapter --base ViT-B-16-quickgelu/openai --out plugin
    """
    from medforge.base_check import check_base
    from medforge.files import check_new

    check_new(out)
    check_base(base)

    from medforge.base import load_base
    from medforge.errors import printable
    from medforge.model.foreign.importing import import_adapter as read

    found = read(adapter, load_base(base, device="cpu"))
    found.plugin.save(out)
    settings, count, total = found.plugin.settings, len(found.sites), len(found.plugin.sites)
    if as_json:
        about = {"kind": settings.kind, "rank": settings.rank, "layers": count, "of": total, "base": found.said}
        say_json({**about, "directory": str(out)})
        return
    said = f", trained on {found.said} by its own words," if found.said else ""
    say(printable(f"the {settings.kind} of rank {settings.rank} at {count} of {total} layers{said} is in {out}"))
