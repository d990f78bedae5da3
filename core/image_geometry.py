"""How an image of any size becomes the square that a base module takes, and its pixels the numbers."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, FiniteFloat

from medforge.digested import DigestedModel


class ImageGeometry(DigestedModel):
    """Say how an image becomes `size` pixels wide and high, as open_clip says it.

    By ``shortest`` the shortest side becomes ``size`` and the centre is cut out; by ``longest`` the longest one does,
    and the rest is filled with the grey value ``fill``; by ``squash`` both become ``size``, whatever they were.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger = frozenset({"fill"})

    size: int = Field(ge=1)
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    resize_mode: Literal["shortest", "longest", "squash"] = "shortest"
    fill: int = Field(default=0, ge=0, le=255)

    def key(self) -> dict[str, object]:
        """Return what decides the pixels, as values of JSON."""
        fields = ["size", "interpolation", "resize_mode", *(["fill"] if self.resize_mode == "longest" else [])]
        return {name: getattr(self, name) for name in fields}


CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and deviation of the images that OpenAI's CLIP was trained on, open_clip's default."""

Three = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


class Preprocessing(ImageGeometry):
    """Say how an image becomes the base's input: RGB, made square, then mean and deviation of pixels in [0, 1]."""

    mean: Three
    std: Three

    @property
    def geometry(self) -> ImageGeometry:
        """How it is made square, alone."""
        return ImageGeometry.model_validate(self.key())

    @property
    def is_usual(self) -> bool:
        """Whether it is CLIP's own, whatever the size."""
        return self == Preprocessing(size=self.size, mean=CLIP_MEAN, std=CLIP_STD)


def as_geometry(geometry: int | ImageGeometry) -> ImageGeometry:
    """Return a geometry; a number alone is the side of CLIP's own."""
    return ImageGeometry(size=geometry) if isinstance(geometry, int) else geometry
