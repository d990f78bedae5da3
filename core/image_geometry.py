"""How an image of any size becomes the square that a base module takes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ImageGeometry(BaseModel):
    """Say how an image becomes `size` pixels wide and high.

    By ``shortest`` the shortest side becomes ``size`` and the centre is cut out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=1)
    interpolation: Literal["bicubic"] = "bicubic"
    resize_mode: Literal["shortest"] = "shortest"

    def key(self) -> dict[str, object]:
        """Return what decides the pixels, as values of JSON."""
        return {name: getattr(self, name) for name in ImageGeometry.model_fields}


def as_geometry(geometry: int | ImageGeometry) -> ImageGeometry:
    """Return a geometry; a number alone is the side of CLIP's own."""
    return ImageGeometry(size=geometry) if isinstance(geometry, int) else geometry
