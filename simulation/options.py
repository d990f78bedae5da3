"""Options that the room's commands share, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from medforge.cli import complete as shared
from medforge.cli.compute import Device
from medforge.client.cli.options import RecipeName

Centres = Annotated[
    list[str] | None,
    typer.Option(
        "--centre",
        metavar="NAME=[TASK@]SOURCE:PATH",
        help="One centre, its task (default: a task of its own) and its images; repeat it. "
        "Default: drawn breast, lung and colon tissue.",
    ),
]
Crowded = Annotated[
    int | None,
    typer.Option(
        "--centres",
        min=1,
        metavar="N",
        help="N centres in the place of those of --centre, which take turns; each draws images of its own, or has its "
        "part of the source's. Default source: some drawn tissue images a centre.",
    ),
]
AllowLeaks = Annotated[
    bool,
    typer.Option(
        "--allow-leaks",
        help="Go on although a centre has the same picture in two splits or classes; said with every result.",
    ),
]
Divide = Annotated[
    list[str] | None,
    typer.Option(
        "--divide",
        metavar="CENTRE=SITES:WAY",
        help="Put several centres of one task in the place of one, its images divided by iid, dirichlet:ALPHA, "
        "missing-class or look, as in lung=4:dirichlet:0.3; repeat it.",
    ),
]
REUSE_LIMIT_GB = 20.0
"""What --reuse keeps at most where nobody says; a thousand small centres take some 2."""

ReuseLimit = Annotated[
    float,
    typer.Option(
        metavar="GB",
        min=0,
        help="Most that --reuse keeps; beyond it a run's end removes what was used longest ago, and with 0 all.",
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Seed of everything random.")]


@dataclass(frozen=True)
class CentreOptions:
    """Say which centres there are."""

    centre: Centres = None
    divide: Divide = None
    centres: Crowded = None
    allow_leaks: AllowLeaks = False


@dataclass(frozen=True)
class ArrivalOptions:
    """Say who arrives when, and what the forge asks of an arrival."""

    order: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Arrival order of the centres. Default: the order of --centre."),
    ] = None
    arrivals: Annotated[
        str | None,
        typer.Option(metavar="poisson:RATE", help="Draw arrival times and order from the seed, RATE centres a minute."),
    ] = None
    review: Annotated[
        bool,
        typer.Option(
            "--review",
            help="Let every centre review what the forge merges on its own validation images; the next pushes once all "
            "have. What does harm is held, and the report says what is stable.",
        ),
    ] = False
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Change the forge's policy, as in admission.behaviour=false to merge whatever arrives; repeat it.",
        ),
    ] = None


@dataclass(frozen=True)
class RecipeOptions:
    """Say what the centres train and distil."""

    PANEL: ClassVar[str] = "Recipe"

    base: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="Base module: medforge-tiny, ARCH/TAG, ARCH:CHECKPOINT, hf-hub:NAME or hf-local:DIR.",
            autocompletion=shared.bases,
        ),
    ] = "medforge-tiny"
    recipe: RecipeName = None
    recipe_set: Annotated[
        list[str] | None,
        typer.Option(
            "--recipe-set",
            metavar="NAME=VALUE",
            help="Change one setting of the recipe, as in train.epochs=5; repeat it.",
        ),
    ] = None

    @property
    def changes(self) -> tuple[str, ...]:
        """The changes of the recipe as "group.name=value"."""
        return tuple(self.recipe_set or ())


@dataclass(frozen=True)
class ComputeOptions:
    """Say what computes."""

    PANEL: ClassVar[str] = "Computing"

    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes that compute at once. Default: one a core."),
    ] = None
    device: Device = "auto"
    dtype: Annotated[
        str, typer.Option(metavar="DTYPE", help="Compute dtype: fp32 or bf16.", autocompletion=shared.dtypes)
    ] = "fp32"

    def words(self) -> list[str]:
        """Write what no run's settings hold, as the command line takes it."""
        return [] if self.jobs is None else ["--jobs", str(self.jobs)]


@dataclass(frozen=True)
class PrivacyOptions:
    """Say what the experiment `privacy` compares."""

    PANEL: ClassVar[str] = "Privacy"

    epsilons: Annotated[str, typer.Option(metavar="E,E,…", help="Totals of ε that sites keep; inf without noise.")] = (
        "1,3,8,inf"
    )
    shadows: Annotated[int, typer.Option(min=4, metavar="K", help="Shadow models of each attack.")] = 8
    distil_shadows: Annotated[
        bool, typer.Option("--distil-shadows", help="Distil as many shadows too, which takes long.")
    ] = False
    no_distillation: Annotated[
        bool, typer.Option("--no-distillation", help="Leave distilled images out, which take longest to learn.")
    ] = False
    images: Annotated[
        int | None,
        typer.Option(min=20, metavar="N", help="Most images of each split, drawn by the seed. Default: all."),
    ] = None


def saved(directory: Path, again: str) -> str:
    """Say what is left of a run that was interrupted, and the command that goes on with it."""
    what = f"what was done is saved in {directory}" if directory.exists() else "nothing was begun"
    return f"{what}; to go on, run: {again}"
