"""Named recipes, and what a command changes in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

from pydantic import ValidationError

from medforge import overrides
from medforge.client.privacy_settings import PrivacySettings
from medforge.client.recipe import DistillMethod, DistillRecipe, Recipe, TrainRecipe
from medforge.errors import InvalidInput
from medforge.plugin_settings import PluginKind, PluginSettings

PAPER = Recipe(name="paper", train=TrainRecipe(), distill=DistillRecipe())

_TINY_TRAIN = TrainRecipe(
    plugin=PluginSettings(dropout=0),
    epochs=12,
    max_steps=330,
    batch=32,
    optimiser="adamw",
    lr=5e-3,
    schedule="cosine",
    warmup=0.1,
    clip=1.0,
    augment="dihedral",
)

# Chosen on the validation splits of real images (LC25000 lung and colon, brain MRI, PneumoniaMNIST) with medforge-tiny.
# Few steps from white noise leave S further from the real class means than these are from each other: for brain MRI
# ‖mean S − mean T‖² was 65–88 after 150 steps, where the real class means are 3–18 apart, and a plugin trained on S
# did not beat chance. From a texture with a falling rate it is 12 after 300 steps, and the plugin reaches .45; a small
# real batch, corrected by the control variate, pays for the steps. Without the own plugin at every third or fourth step
# the centre's own plugin tells the classes of its learned chest images no better than chance (.55; with it .95), and
# merges that are searched on them lose .07 to .15. What is left of those 12 lies where real images do not vary, and
# shifts the classes of a discriminant: hence its matching and the Mahalanobis distance. That loss is steep, so that SGD
# crawls or leaves the subspace of real images for good; so does Adam at a rate of .05, not at .02.
TINY = Recipe(
    name="tiny",
    train=_TINY_TRAIN.model_copy(update={"select": "by-balance"}),
    distill=DistillRecipe(
        ipc=10,
        steps=300,
        start="texture",
        noise=0.5,
        real_batch=8,
        control_variate=True,
        pixel_optimiser="adam",
        pixel_lr=0.02,
        pixel_schedule="cosine",
        pixel_warmup=9,
        clamp_each_step=True,
        own_plugin_every=4,
        discriminant_every=2,
        whitening=True,
        recognition_weight=3.0,
        checkpoint_every=50,
        candidates=1,
        score=_TINY_TRAIN.model_copy(update={"batch": 16, "lr": 2e-3}),
        score_steps=200,
    ),
)

# The embedded demonstration draws a few hundred easy images per centre and must end within minutes. In 80 steps means
# alone say more: on the validation split of drawn lung tissue a plugin trained on S reached .90, by tiny's way .73, and
# the own plugin recognised .75 of S, not .63.
DEMO = Recipe(
    name="demo",
    train=_TINY_TRAIN.model_copy(update={"epochs": 6, "select": "by-balance"}),
    distill=TINY.distill.model_copy(
        update={
            "ipc": 8,
            "steps": 80,
            "pixel_optimiser": "sgd",
            "pixel_lr": 1.0,
            "pixel_warmup": 0,
            "own_plugin_every": 3,
            "discriminant_every": 0,
            "whitening": False,
            "recognition_weight": 0.0,
            "candidates": 2,
            "score_steps": 20,
        }
    ),
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (PAPER, TINY, DEMO)}


# What a method changes in each named recipe; a recipe of another name is changed like "paper". For gradient matching
# that is the published pixel rate and number of networks; the small recipes shorten its loops and draw fewer networks,
# so that it takes about as long as distribution matching does.
_MEANS_UNMATCHED: dict[str, object] = {
    "own_plugin_every": 0, "discriminant_every": 0, "whitening": False, "recognition_weight": 0.0
}  # fmt: skip
_SHORT_MATCHING: dict[str, object] = {
    "pixel_optimiser": "sgd", "pixel_lr": 0.1, "pixel_warmup": 0, "outer": 5, "inner": 1, "real_batch": 16,
    "checkpoint_every": 2, **_MEANS_UNMATCHED
}  # fmt: skip
_METHOD_SETTINGS: dict[DistillMethod, dict[str, dict[str, object]]] = {
    "dm-dsa": {"paper": {}},
    "dm": {"paper": {}},
    "dc-dsa": {
        "paper": {"pixel_lr": 0.1, "steps": 1000},
        "tiny": {**_SHORT_MATCHING, "steps": 8},
        "demo": {**_SHORT_MATCHING, "steps": 5},
    },
    "lgm": {
        "paper": {"pixel_optimiser": "adam", "pixel_lr": 0.02, "pixel_schedule": "cosine"},
        "tiny": _MEANS_UNMATCHED,
        "demo": _MEANS_UNMATCHED,
    },
}


def with_method(recipe: Recipe, method: str) -> Recipe:
    """Return `recipe` distilling by `method`, with the settings that are the method's own.

    Raises InvalidInput for a method that does not exist.
    """
    known = get_args(DistillMethod)
    if method not in known:
        raise InvalidInput(f"there is no distillation method {method!r}; choose one of {', '.join(known)}")
    by_recipe = _METHOD_SETTINGS[method]  # type: ignore[index]  # checked above
    changes = by_recipe.get(recipe.name, by_recipe["paper"])
    return recipe.model_copy(update={"distill": recipe.distill.model_copy(update={"method": method, **changes})})


# What a kind of plugin changes in each named recipe; a recipe of another name is changed like "paper". For SVD-LoRA
# that is what Med-LEGO publishes (its optimiser is not said). In few steps E, which starts from zero between factors of
# length 1, grows too little under a scaling of 1: on the validation split of brain MRI that reached .56, where a LoRA
# reaches .73; a scaling of 10 reached .70. Small data sets, which end before 330 steps, get twice the epochs.
_PLUGIN_SETTINGS: dict[PluginKind, dict[str, tuple[dict[str, object], dict[str, object]]]] = {
    "lora": {"paper": ({}, {})},
    "dora": {"paper": ({}, {})},
    "svd-lora": {
        "paper": ({"optimiser": "adamw", "lr": 3e-4}, {"rank": 4, "alpha": 4.0}),
        "tiny": ({"epochs": 24}, {"alpha": 160.0}),
        "demo": ({}, {"alpha": 160.0}),
    },
}


def with_plugin(recipe: Recipe, kind: str) -> Recipe:
    """Return `recipe` training plugins of a kind, with the settings that are the kind's own.

    Raises InvalidInput for a kind that does not exist.
    """
    known = get_args(PluginKind)
    if kind not in known:
        raise InvalidInput(f"there is no plugin kind {kind!r}; choose one of {', '.join(known)}")
    by_recipe = _PLUGIN_SETTINGS[kind]  # type: ignore[index]  # checked above
    training, sizes = by_recipe.get(recipe.name, by_recipe["paper"])
    plugin = recipe.train.plugin.model_copy(update={"kind": kind, **sizes})
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"plugin": plugin, **training})})


def with_privacy(recipe: Recipe, asked: Mapping[str, float]) -> Recipe:
    """Return `recipe` with differential privacy of the `asked` epsilon and delta.

    Raises InvalidInput for numbers that are none of that, and for a plugin or a distillation that has no private form.
    """
    privacy = (recipe.privacy or PrivacySettings()).model_copy(update=dict(asked))
    try:
        return Recipe.model_validate(recipe.model_copy(update={"privacy": privacy}).model_dump())
    except ValidationError as error:
        first = error.errors()[0]
        if isinstance(first["input"], dict):
            raise InvalidInput(first["msg"].removeprefix("Value error, ")) from error
        raise InvalidInput(
            f"option --{first['loc'][-1]} cannot be {first['input']:g}; epsilon is above 0 and at most 1000, delta "
            "above 0 and below 1"
        ) from error


def recipe_for(base_spec: str, name: str | None = None) -> Recipe:
    """Return the recipe called `name`; without a name, "tiny" for the embedded base and "paper" for any other.

    Raises InvalidInput for a name that no recipe has.
    """
    chosen = name or ("tiny" if base_spec == "medforge-tiny" else "paper")
    if chosen not in RECIPES:
        raise InvalidInput(f"there is no recipe {chosen!r}; choose one of {', '.join(sorted(RECIPES))}")
    return RECIPES[chosen]


def change_recipe(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """Return `recipe` with `changes` such as "train.lr=0.1" or "distill.ranges.rotate=0" applied.

    Raises InvalidInput naming the change for an unknown setting or a value that does not fit it.
    """
    return overrides.apply_changes(
        recipe, changes, "recipe", "train.NAME=VALUE or distill.NAME=VALUE, e.g. train.lr=0.01"
    )
