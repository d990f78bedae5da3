"""What a branch says of its differential privacy."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

PrivateUnit = Literal["image", "group", "slide", "patient"]
UNITS: tuple[PrivateUnit, ...] = get_args(PrivateUnit)


class PrivacyFacts(BaseModel):
    """State (ε, δ) of all that a branch says of its training images, as its contributor claims it.

    ``unit`` is whom it protects: one ``image``, or a ``patient``, a ``slide`` or another ``group`` with all images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: FiniteFloat = Field(gt=0)
    delta: FiniteFloat = Field(gt=0, lt=1)
    unit: PrivateUnit

    def __str__(self) -> str:
        """Write it as people read it: "ε = 8, δ = 1e-05, per patient"."""
        return f"ε = {self.epsilon:g}, δ = {self.delta:g}, per {self.unit}"


def said_privacy(facts: PrivacyFacts | None) -> str:
    """Return the claim of a branch, or that it makes none."""
    return "no differential privacy" if facts is None else str(facts)
