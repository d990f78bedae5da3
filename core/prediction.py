"""What a merged model says of one image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """Hold the likeliest task and class of one image, and how sure the model is.

    ``key`` and ``prompt`` name the class. ``distance`` is how far the image lies from the task's nearest class mean,
    and ``percentile`` which share of the sites' own validation images lies nearer: None where no site of the task said
    how far its images lie, and then `none_of_these` is never known.
    """

    task: str
    key: str
    prompt: str
    task_probability: float
    class_probability: float
    distance: float
    percentile: float | None
    none_of_these: bool

    @property
    def probability(self) -> float:
        """P(task | image) · P(class | task, image)."""
        return self.task_probability * self.class_probability

    @property
    def calibrated(self) -> bool:
        """Whether the model could have said that the image is none of these."""
        return self.percentile is not None
