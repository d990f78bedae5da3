"""`medforge export`: a merged model for other libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medforge.cli import complete
from medforge.cli.output import AsJson, say, say_json


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A checkout, or a forge's directory.")],
    to: Annotated[
        str,
        typer.Option(metavar="FORMAT", help="open_clip, hf, peft, peft-hf, onnx or safetensors."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory to write into; new or empty.")],
    task: Annotated[
        str | None,
        typer.Option(metavar="TASK", help="Export the expert of this task alone. onnx takes all tasks without it."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Base module. Default: the model's own.", autocompletion=complete.bases),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a merged model, or one task's expert, for a library that knows nothing of MedForge.

    What was written is loaded again with that library, and must give the same logits. A README.md beside it says how
    to use it.

    Examples:
        medforge export merged --to open_clip --task lung --out lung
        medforge export forge --to onnx --out onnx
    """
    from medforge.model.export.formats import check_format

    check_format(to)

    from medforge.files import check_new
    from medforge.model.export.exporting import export_model
    from medforge.model.opening import open_model

    check_new(out)
    tasks = export_model(open_model(model, base=base, device="cpu"), to, out, task)
    if as_json:
        say_json({"format": to, "tasks": list(tasks), "directory": str(out)})
        return
    say(f"{', '.join(tasks) or 'the model'} is in {out}; its README.md says how to use it")
