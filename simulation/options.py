"""Options that the room's commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Centres = Annotated[
    list[str] | None,
    typer.Option(
        "--centre", help="One centre, NAME=SOURCE:PATH; repeat it. None: drawn breast, lung and colon tissue."
    ),
]
Base = Annotated[str, typer.Option(help="Base module: medforge-tiny, ARCH/TAG, ARCH:CHECKPOINT or hf-hub:NAME.")]
RecipeName = Annotated[
    str | None,
    typer.Option(help="Training and distillation settings: paper, tiny or demo. None: as the base module needs."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one setting of the recipe, as in train.epochs=5; repeat it."),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--parameter", help="Set a parameter of the merge method, as in energy=0.99; repeat it."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, …")]
Dtype = Annotated[str, typer.Option(help="Compute dtype: fp32 or bf16.")]
