"""What a recipe says: how a plugin is trained, and how its distilled dataset is learned."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medforge.client.privacy_settings import PrivacySettings
from medforge.digested import DigestedModel
from medforge.plugin_settings import PluginSettings


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
