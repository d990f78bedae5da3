"""What a base module says of itself: enough to find it, to recognise it, and to prepare images for it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from medforge.manifest import Line

Three = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


class Preprocessing(BaseModel):
    """Say how an image becomes the base's input: RGB, shortest side ``size``, centre square, then mean and deviation.

    ``mean`` and ``std`` are of pixels in [0, 1].
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=1)
    mean: Three
    std: Three
    interpolation: Literal["bicubic"] = "bicubic"
    resize_mode: Literal["shortest"] = "shortest"


class BaseFacts(BaseModel):
    """Name a base module by its spec and fingerprint.

    ``architecture`` is its open_clip model configuration. That and the preprocessing are None where a forge of an
    earlier version does not know them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: Annotated[Line, Field(min_length=1, max_length=1000)]
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    architecture: dict[str, Any] | None = None
    preprocessing: Preprocessing | None = None
