"""Named settings of a centre's work: how a plugin is trained and how its distilled dataset is learned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medforge import overrides
from medforge.client.privacy_settings import PrivacySettings
from medforge.digested import DigestedModel
from medforge.errors import InvalidInput
from medforge.plugin_settings import PluginKind, PluginSettings


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainRecipe(DigestedModel):
    """Say how a plugin is trained. Defaults are the MedForge paper's (ViT-B/16)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger = frozenset({"sampler", "select"})

    plugin: PluginSettings = PluginSettings()
    epochs: int = Field(100, ge=1)
    max_steps: int | None = Field(None, ge=1, description="optimiser steps in all; whole epochs are cut to fit")
    batch: int = Field(64, ge=1)
    optimiser: Literal["sgd", "adamw"] = "sgd"
    lr: float = Field(0.01, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: float = Field(0.0, ge=0, lt=1, description="part of all steps in which the rate rises from 0 to lr")
    clip: float | None = Field(None, gt=0, description="largest norm of one step's gradient")
    orthogonality: float = Field(
        1.0, ge=0, description="svd-lora: weight of ‖BᵀB − I‖² + ‖AAᵀ − I‖², summed over the layers, in the loss"
    )
    augment: Literal["none", "flip", "dihedral"] = Field(
        "flip", description="only where the task says that flips are harmless; dihedral = flips and quarter turns"
    )
    jitter: float = Field(
        0.0,
        ge=0,
        le=2,
        description="small random turns, shifts, zooms and light changes of each image; 1 is mild, 0 none",
    )

    sampler: Literal["shuffle", "balanced"] = Field(
        "shuffle",
        description="balanced: each epoch draws as many images as there are, with replacement, every class as often",
    )
    select: Literal["accuracy", "balanced", "by-balance"] = Field(
        "accuracy",
        description="what the best epoch is chosen by on validation, before the loss; by-balance: balanced accuracy "
        "where the largest class has at least twice as many training images as the smallest, else accuracy",
    )

    def epochs_for(self, steps_per_epoch: int) -> int:
        """Return how many whole epochs fit into `epochs` and `max_steps`, one at the least."""
        if self.max_steps is None:
            return self.epochs
        return max(1, min(self.epochs, self.max_steps // steps_per_epoch))


class DsaRanges(_Settings):
    """Bound the operations of differentiable siamese augmentation; the defaults are MedForge's (spec, section DSA)."""

    brightness: float = Field(1.0, ge=0)
    saturation: float = Field(2.0, ge=0)
    contrast: float = Field(0.5, ge=0, le=1)
    crop: float = Field(0.125, ge=0, lt=1)
    cutout: float = Field(0.5, ge=0, lt=1)
    flip: float = Field(0.5, ge=0, le=1)
    scale: float = Field(1.2, ge=1)
    rotate: float = Field(15.0, ge=0, le=180, description="degrees")


# Pixel updates a network and epochs of the network between two of them, by images per class (`get_loops` of Zhao et
# al.'s public code; their paper, ICLR 2021, has the first, the second and the last).
_PUBLISHED_LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}

DistillMethod = Literal["dm-dsa", "dm", "dc-dsa", "lgm"]


class DistillRecipe(_Settings):
    """Say how a distilled dataset is learned. Defaults are the MedForge paper's and its public scripts'."""

    method: DistillMethod = "dm-dsa"
    ipc: int = Field(20, ge=1, description="learned images per class")
    steps: int = Field(5000, ge=1)
    start: Literal["noise", "texture"] = Field(
        "noise", description="white noise, or noise with the mean and the power spectrum of all training images"
    )
    noise: float = Field(
        1.0,
        gt=0,
        description="strength of what S starts from: the white noise's standard deviation in the base's normalised "
        "space, or the texture's over the training images' own",
    )
    real_batch: int = Field(256, ge=1, description="real images per class and step")
    control_variate: bool = Field(
        False, description="distribution matching: correct a batch's real means by the bare base's, for all real images"
    )
    pixel_optimiser: Literal["sgd", "adam"] = "sgd"
    pixel_lr: float = Field(10.0, gt=0)
    pixel_schedule: Literal["constant", "cosine"] = "constant"
    pixel_warmup: int = Field(0, ge=0, description="steps in which the pixel rate rises to what the schedule says")
    pixel_momentum: float = Field(0.5, ge=0, lt=1)
    clamp_each_step: bool = Field(False, description="keep pixels valid at every step, not only at the end")
    strategy: str = "color_crop_cutout_flip_scale_rotate"
    ranges: DsaRanges = DsaRanges()
    extractor_rank: int = Field(16, ge=1)
    extractor_scale: float = Field(
        0.05, ge=0, description="norm of the random plugin's weight change over the frozen weight's, at each site"
    )
    own_plugin_every: int = Field(
        0, ge=0, description="every how many steps the extractor carries the centre's own trained plugin; 0 = never"
    )
    discriminant_every: int = Field(
        0,
        ge=0,
        description="distribution matching: every how many steps, from the first, the linear discriminant of all "
        "training images, unaugmented, is matched instead of a batch's class means; 0 = never",
    )
    covariance_weight: float = Field(1.0, ge=0, description="of the covariances' distance beside the means', there")
    odds_weight: float = Field(1.0, ge=0, description="of the discriminants' divergence on the real images, there")
    whitening: bool = Field(
        False,
        description="distribution matching: compare a batch's class means by the Mahalanobis distance, by the "
        "covariance that all training images have within their classes, instead of the plain distance",
    )
    recognition_weight: float = Field(
        0.0, ge=0, description="at steps with the own plugin: of its cross-entropy on the learned images"
    )
    outer: int | None = Field(
        None, ge=1, description="dc-dsa: pixel updates per step, each with a network trained further; none = by ipc"
    )
    inner: int | None = Field(
        None, ge=0, description="dc-dsa: epochs of the network between two pixel updates; none = by ipc"
    )
    network_lr: float = Field(0.01, gt=0, description="dc-dsa: rate of the network's plain SGD")
    checkpoint_every: int = Field(100, ge=1)
    candidates: int = Field(4, ge=1, description="evenly spaced steps at which S is scored on validation")
    score: TrainRecipe = TrainRecipe()
    score_steps: int = Field(1000, ge=1, description="iterations of the fresh plugin that scores S")
    score_augment: bool = Field(
        True, description="augment S while scoring it: a DSA operation an iteration, numbers an image"
    )

    @model_validator(mode="after")
    def _gradients_of_untrained_networks(self) -> DistillRecipe:
        if self.method in ("dc-dsa", "lgm") and self.own_plugin_every:
            raise ValueError(
                "gradient matching distils without the centre's own plugin; choose it with "
                f"--distillation {self.method}, or set distill.own_plugin_every=0 as well"
            )
        return self

    @property
    def knows_all_images(self) -> bool:
        """Whether distribution matching embeds all training images once, before the first step."""
        return self.control_variate or self.whitening or self.discriminant_every > 0

    def pixel_rate(self, step: int) -> float:
        """Return the pixel rate of step 0 … steps−1; "cosine" falls from `pixel_lr` towards 0, after the warm-up."""
        rising = min(1.0, (step + 1) / (self.pixel_warmup + 1))
        falling = 0.5 * (1 + math.cos(math.pi * step / self.steps)) if self.pixel_schedule == "cosine" else 1.0
        return self.pixel_lr * rising * falling

    @property
    def loops(self) -> tuple[int, int]:
        """The outer and inner loops of gradient matching; where not set, the public code's for the nearest ipc."""
        outer, inner = _PUBLISHED_LOOPS[min(_PUBLISHED_LOOPS, key=lambda ipc: abs(ipc - self.ipc))]
        return self.outer or outer, inner if self.inner is None else self.inner


class Recipe(DigestedModel):
    """Name a pair of training and distillation settings, and what is asked of differential privacy, if anything."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger = frozenset({"privacy"})

    name: str
    train: TrainRecipe
    distill: DistillRecipe
    privacy: PrivacySettings | None = None

    @model_validator(mode="after")
    def _that_have_a_private_form(self) -> Recipe:
        kind, method = self.train.plugin.kind, self.distill.method
        if self.privacy is not None and kind != "lora":
            raise ValueError(
                f"a {kind} cannot be trained with differential privacy, as Opacus knows no gradient of a single image "
                "for it; choose --plugin lora, or leave --epsilon out"
            )
        if self.privacy is not None and method not in ("dm", "dm-dsa"):
            raise ValueError(
                f"{method} cannot distil with differential privacy, as it looks at single images at every step; choose "
                "--distillation dm-dsa, or leave --epsilon out"
            )
        return self


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
