"""What a centre asks of differential privacy."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class PrivacySettings(BaseModel):
    """Ask for a total (ε, δ) over all that a branch says of its training images.

    The unit is a patient (or slide, lesion) where groups are known, else an image. ``delta`` is a number of its own and
    not one over the number of units, which is itself no public thing. The shares add up to 1: that of the counts is
    exact, the others say how much each part would spend alone, before all are scaled to what is left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(8.0, gt=0, le=1000, description="--epsilon")
    delta: float = Field(1e-5, gt=0, lt=1, description="--delta")
    clip: float = Field(1.0, gt=0, description="largest norm of one unit's gradient")
    unit_images: int = Field(8, ge=1, description="most images of one unit that a step, or a mean, looks at")
    targets: int = Field(8, ge=1, description="random extractors under which noised class means are matched")
    counts_share: float = Field(0.05, gt=0, lt=1, description="of epsilon, for the number of units of each class")
    training_share: float = Field(0.6, gt=0, description="for the plugin's training")
    targets_share: float = Field(0.25, gt=0, description="for the class means that images are distilled from")
    statistics_share: float = Field(0.1, gt=0, description="for the class statistics")

    @model_validator(mode="after")
    def _shares_of_one(self) -> Self:
        total = self.counts_share + self.training_share + self.targets_share + self.statistics_share
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the privacy shares add up to {total:g}; make them add up to 1")
        return self
