"""Options that a centre's commands share, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from medforge.cli import complete as shared
from medforge.client.cli import complete
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.audit.shadows.budget import ShadowBudget

Directory = Annotated[
    Path, typer.Option("--workspace", metavar="DIR", help="The centre's directory; made if it is not there.")
]
Existing = Annotated[Path, typer.Option("--workspace", metavar="DIR", help="The centre's directory.")]
ExistingIfAny = Annotated[
    Path | None,
    typer.Option("--workspace", metavar="DIR", help="The centre's directory; with --kit it may be left out."),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel="Recipe",
        help="Training epochs, the same as --recipe-set train.epochs=N with no cap on the steps.",
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="COMMIT|DIR",
        rich_help_panel="Recipe",
        help="Begin training from a merged model: a commit of the forge (head, stable, a tag, its digest or the first "
        "8 or more letters of it, its arrival's number, or its task) or a checked-out directory. "
        "The plugin keeps its kind and ranks.",
    ),
]
FromTask = Annotated[
    str | None,
    typer.Option(
        "--from-task",
        metavar="NAME",
        rich_help_panel="Recipe",
        help="Whose expert to begin from, where the merged model has one for each task. Default: your own task's.",
    ),
]
Override = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Let the branch out although its audit failed, under this name; it is recorded."),
]
Site = Annotated[
    Path | None,
    typer.Option("--site", metavar="FILE", help="The site's limits, a TOML file. Default: the built-in limits."),
]
Shadows = Annotated[
    int | None,
    typer.Option(
        "--shadows",
        min=4,
        metavar="K",
        help="Attack by K shadow plugins too, each trained on half of the images (LiRA); 16 tell much, 4 are least.",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option("--minutes", min=0, metavar="M", help="Make no shadow that would end later than this. Default: 30."),
]
NoReport = Annotated[
    bool,
    typer.Option("--no-report", help="Leave the audit's page out, which takes longest of it; `audit` writes it."),
]
Statistics = Annotated[
    bool | None,
    typer.Option(
        "--statistics/--no-statistics",
        help="Send sums and a covariance of the training images' features with the branch, as far as the site's limits "
        "allow; kept with the workspace. Default: send them.",
    ),
]
Patience = Annotated[
    float, typer.Option(min=0, metavar="MINUTES", help="How long a push without any progress goes on trying.")
]


@dataclass(frozen=True)
class TaskOptions:
    """Say what a workspace is about; kept with it, so needed only the first time."""

    PANEL: ClassVar[str] = "Task"

    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE",
            help="Where the images are: NAME:PATH[,option=value]*, as in folder:scans. Needed only the first time.",
            autocompletion=complete.sources,
        ),
    ] = None
    contributor: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who contributes. Default: the workspace's name.")
    ] = None
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The task's name; with --kit also its classes, where the forge declares them. Default: the source's.",
        ),
    ] = None
    task_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The declared task to work on, as `medforge task show NAME --json` writes it."
        ),
    ] = None
    class_map: Annotated[
        Path | None,
        typer.Option(
            "--map",
            metavar="FILE",
            help="Which class of the declared task each of your folders is: a CSV file with the columns folder,class.",
        ),
    ] = None
    base: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Base module: medforge-tiny (default), ARCH/TAG, ARCH:CHECKPOINT, hf-hub:NAME or hf-local:DIR.",
            autocompletion=shared.bases,
        ),
    ] = None
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of every random choice. Default: 0.")] = None
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="DTYPE",
            help="Compute dtype of the frozen weights: fp32 (default) or bf16.",
            autocompletion=shared.dtypes,
        ),
    ] = None

    allow_leaks: Annotated[
        bool,
        typer.Option(
            "--allow-leaks",
            help="Work although the same picture is in two splits or classes; given with SOURCE, and said with every "
            "result.",
        ),
    ] = False

    def given(self) -> dict[str, object]:
        """Return the settings that were given, by their names, with the map as the table that it holds.

        The task's file is left to `medforge.client.declared_task`. Raises InvalidInput for a map that is none.
        """
        apart = ("task_file", "allow_leaks")
        values = {name: value for name, value in vars(self).items() if value is not None and name not in apart}
        if self.allow_leaks:
            if self.source is None:
                raise InvalidInput("--allow-leaks belongs to the images; name them again, as in folder:scans")
            from medforge.client.data.catalogue import with_leaks

            values["source"] = with_leaks(self.source)
        if self.class_map is not None:
            from medforge.client.data.class_map import read_map

            values["class_map"] = read_map(self.class_map)
        return values


RecipeName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Settings of training and distillation: tiny, paper or demo. Default: what suits the base.",
        autocompletion=complete.recipes,
    ),
]


@dataclass(frozen=True)
class RecipeOptions:
    """Say how a plugin is trained and how images are distilled; kept with the workspace."""

    PANEL: ClassVar[str] = "Recipe"

    recipe: RecipeName = None
    distillation: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            help="How images are distilled: dm-dsa (default), dm, dc-dsa or lgm.",
            autocompletion=complete.distillations,
        ),
    ] = None
    plugin: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Kind of plugin: lora (default), dora or svd-lora.",
            autocompletion=complete.plugin_kinds,
        ),
    ] = None
    recipe_set: Annotated[
        list[str] | None,
        typer.Option(
            "--recipe-set",
            metavar="NAME=VALUE",
            help="Change one setting of the recipe, as in train.lr=0.01 or distill.ipc=10; repeat it.",
        ),
    ] = None

    def changes(self, epochs: int | None = None) -> list[str]:
        """Return the changes of the recipe as "group.name=value"."""
        of_epochs = [] if epochs is None else [f"train.epochs={epochs}", "train.max_steps=none"]
        return [*(self.recipe_set or []), *of_epochs]


@dataclass(frozen=True)
class PrivacyOptions:
    """Say how much may be learnt of one patient, or image; kept with the workspace."""

    PANEL: ClassVar[str] = "Privacy"

    epsilon: Annotated[
        float | None,
        typer.Option(
            metavar="E",
            help="Train, distil and describe with differential privacy: at most this much in all, for each patient, or "
            "image where patients are not known; needs the extra `privacy`. Smaller is more private.",
        ),
    ] = None
    delta: Annotated[
        float | None,
        typer.Option(metavar="D", help="The delta that goes with --epsilon. Default: 1e-5."),
    ] = None

    def asked(self) -> dict[str, float]:
        """Return the epsilon and delta that are asked for; empty for nothing.

        Raises InvalidInput for a delta alone, and where Opacus is missing.
        """
        if self.epsilon is None:
            if self.delta is not None:
                raise InvalidInput("--delta says nothing without --epsilon; give both, or leave it out")
            return {}
        if find_spec("opacus") is None:
            from medforge.client.privacy.accounting import missing_opacus

            raise missing_opacus()
        return {"epsilon": self.epsilon} | ({} if self.delta is None else {"delta": self.delta})


@dataclass(frozen=True)
class SpendingOptions:
    """Say which earlier branches are of the same images, and what all may spend; kept with the workspace."""

    PANEL: ClassVar[str] = "Privacy"

    earlier: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="A workspace whose branch was made of the same patients with --epsilon: what both spend together is "
            "shown. What that one counted counts too. Repeat it.",
        ),
    ] = None
    epsilon_total: Annotated[
        float | None,
        typer.Option(
            metavar="E", help="Refuse where this branch and the --earlier ones spend more than this together."
        ),
    ] = None

    def given(self, privacy: PrivacyOptions) -> dict[str, object]:
        """Return the settings that are given. Raises InvalidInput without --epsilon, and what `find_earlier` raises."""
        if not self.earlier and self.epsilon_total is None:
            return {}
        if privacy.epsilon is None:
            raise InvalidInput("--earlier and --epsilon-total say nothing without --epsilon; give that too")
        from medforge.client.earlier import find_earlier

        found = {"earlier": find_earlier(self.earlier)} if self.earlier else {}
        return found | ({} if self.epsilon_total is None else {"epsilon_total": self.epsilon_total})


DEFAULT_MINUTES = 30.0


def shadow_budget(shadows: int | None, minutes: float | None) -> ShadowBudget | None:
    """Return the budget of an attack by shadow models, if one is asked for. Raises InvalidInput for minutes alone."""
    if shadows is None:
        if minutes is not None:
            raise InvalidInput(
                "--minutes bounds the attack by shadow models, and none is asked for; give --shadows too"
            )
        return None
    from medforge.client.audit.shadows.budget import ShadowBudget

    return ShadowBudget(shadows, DEFAULT_MINUTES if minutes is None else minutes)
