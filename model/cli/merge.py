"""`medforge merge`: branches and plugins in directories, without a forge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medforge.aggregator.cli import complete
from medforge.aggregator.cli.options import BaseComputeOptions, ModeOptions
from medforge.cli import complete as shared
from medforge.cli.output import AsJson, say_json
from medforge.errors import printable


def merge(
    compute: BaseComputeOptions,
    mode: ModeOptions,
    parts: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="Branches, plugins or PEFT adapters in their order of arrival, or one recipe (YAML)."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory to write the merged model into; new or empty.")],
    method: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            help="Merge method; `medforge methods` lists them. Default: routed, for plugins task-arithmetic.",
            autocompletion=complete.merge_methods,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="W,W,...", help="How much each counts beside the others, as in 2,1,1; or images."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of what is drawn.")] = 0,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Base module. Default: the one that the branches name.",
            autocompletion=shared.bases,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Merge branches or plugins that lie in directories; the same bytes as a forge makes of the same branches.

    Examples:
        medforge merge north/branch south/branch --method ties --out merged
        medforge merge recipe.yaml --out merged
    """
    from medforge.files import check_new
    from medforge.model.merge_plan import MergePlan
    from medforge.model_directory import save_model

    check_new(out)
    plan = MergePlan.of(
        parts,
        method=method,
        weights=weights,
        parameters=mode.parameter or [],
        seed=seed,
        base=base,
        dtype=compute.dtype,
        **mode.mode(),
    )
    compute.use_threads()
    merged = plan.run(compute.device)
    save_model(out, merged.card, merged.item)
    card = merged.card
    if as_json:
        say_json(
            {"item": card.item, "kind": card.kind, "directory": str(out), "tasks": [one.name for one in card.tasks]}
        )
        return
    tasks = ", ".join(task.name for task in card.tasks) or "tasks that it does not name"
    how = card.recipe.method["method"]
    typer.echo(printable(f"{len(card.members)} merged by {how} into {out}: {card.kind}, {tasks}"))
