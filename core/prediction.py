"""What a merged model says of one image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RankedClass:
    """Hold one class (by its task, key and prompt), P(task | image) and P(class | task, image)."""

    task: str
    key: str
    prompt: str
    task_probability: float
    class_probability: float

    @property
    def probability(self) -> float:
        """P(task | image) · P(class | task, image)."""
        return self.task_probability * self.class_probability


@dataclass(frozen=True)
class Prediction:
    """Hold the likeliest classes of one image, the likeliest first, and how sure the model is.

    ``distance`` is how far the image lies from the nearest class mean of the first one's task, and ``percentile`` which
    share of the sites' own validation images lies nearer: None where no site of the task said how far its images lie,
    and then ``none_of_these`` is never known. A model without a router measures no distance at all. ``answered_by`` are
    the branches (by digest) that the answer was merged from.
    """

    ranking: tuple[RankedClass, ...]
    distance: float | None
    percentile: float | None
    none_of_these: bool
    answered_by: tuple[str, ...]

    @property
    def task(self) -> str:
        """The likeliest class's task."""
        return self.ranking[0].task

    @property
    def key(self) -> str:
        """The likeliest class's key."""
        return self.ranking[0].key

    @property
    def prompt(self) -> str:
        """The likeliest class's prompt."""
        return self.ranking[0].prompt

    @property
    def task_probability(self) -> float:
        """P(task | image)."""
        return self.ranking[0].task_probability

    @property
    def class_probability(self) -> float:
        """P(class | task, image)."""
        return self.ranking[0].class_probability

    @property
    def probability(self) -> float:
        """P(task | image) · P(class | task, image)."""
        return self.ranking[0].probability

    @property
    def calibrated(self) -> bool:
        """Whether the model could have said that the image is none of these."""
        return self.percentile is not None
