"""What a branch says of its differential privacy."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from medforge.files import canonical_json

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

    def to_bytes(self) -> bytes:
        """Serialise canonically."""
        return canonical_json(self.model_dump(mode="json"))

    def __str__(self) -> str:
        """Write it as people read it: "ε = 8, δ = 1e-05, per patient"."""
        return f"ε = {self.epsilon:g}, δ = {self.delta:g}, per {self.unit}"


class PrivacyBound(BaseModel):
    """Say what differential privacy a forge demands of every branch; without a bound it demands none.

    ``unit`` "group" wants a patient, slide or other group protected with all its images, "image" each image at least.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_epsilon: FiniteFloat | None = Field(None, gt=0)
    max_delta: FiniteFloat | None = Field(None, gt=0, lt=1)
    unit: Literal["image", "group"] | None = None

    def to_bytes(self) -> bytes:
        """Serialise canonically; nothing where nothing is demanded."""
        return canonical_json(self.model_dump(mode="json")) if self.demands else b""

    @property
    def demands(self) -> bool:
        """Whether anything is demanded."""
        return self != PrivacyBound()

    def fault(self, claimed: PrivacyFacts | None, begun: bool = True) -> str | None:
        """Return what is wrong with a branch's claim, and the remedy; None where it keeps the bound.

        A workspace that has not `begun` may still be given other options.
        """
        if not self.demands:
            return None
        again = f"begin another workspace with {self._options()}" if begun else f"give {self._options()}"
        if claimed is None:
            return f"the branch claims no differential privacy, which the forge demands; {again}"
        if self.unit == "group" and claimed.unit == "image":
            return (
                "the branch protects single images, where the forge demands it for patients (or other groups) with all "
                "their images; say which images belong to one patient"
                + (", and begin another workspace" if begun else "")
            )
        for what, value, most in (
            ("an epsilon", claimed.epsilon, self.max_epsilon),
            ("a delta", claimed.delta, self.max_delta),
        ):
            if most is not None and value > most:
                return f"the branch claims {what} of {value:g}, where the forge admits {most:g} at most; {again}"
        return None

    def _options(self) -> str:
        asked = "--epsilon E" if self.max_epsilon is None else f"--epsilon {self.max_epsilon:g}"
        return asked if self.max_delta is None else f"{asked} --delta {self.max_delta:g}"


def said_privacy(facts: PrivacyFacts | None) -> str:
    """Return the claim of a branch, or that it makes none."""
    return "no differential privacy" if facts is None else str(facts)
