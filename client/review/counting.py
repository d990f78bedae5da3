"""From answers to the counts that leave the site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from medforge.client.review.answers import Answers
from medforge.proto.review_noise import noise_decay
from medforge.proto.signed_review import TaskReview

_DIGITS = 4


def count(
    now: Answers,
    task: str,
    threshold: int,
    before: Answers | None = None,
    baseline: str | None = None,
    epsilon: float | None = None,
    tasks: tuple[str, ...] = (),
) -> TaskReview | None:
    """Count answers of a task, against those `before` where there are any; None for too few images.

    These are a `baseline` commit's, or where none is named the own branch's alone.

    Where fewer than `threshold` images go to a task, or to none, that count is left out. With `epsilon` every count
    gets noise (see `noise_decay`) from the system's randomness, and `tasks` are all that images can be routed to.
    """
    images, right = len(now.right), int(now.right.sum())
    counts = {"images": images, "right": right}
    if before is not None:
        home_before = [where == task for where in before.routed]
        home_now = [where == task for where in now.routed]
        counts |= {
            "lost": int((before.right & ~now.right).sum()),
            "gained": int((now.right & ~before.right).sum()),
            "taken": sum(was and not still for was, still in zip(home_before, home_now, strict=True)),
            "returned": sum(still and not was for was, still in zip(home_before, home_now, strict=True)),
        }
    routed = Counter(now.routed)
    places = {place: routed[place] for place in (routed if epsilon is None else (*tasks, None))}
    if epsilon is not None:
        random = np.random.default_rng()
        counts = _fitting({name: value + _noise(random, epsilon) for name, value in counts.items()})
        places = {place: value + _noise(random, epsilon) for place, value in places.items()}
    if counts["images"] < threshold:
        return None
    told = _told(places, threshold, counts["images"])
    return TaskReview(
        baseline=baseline if before is not None else None,
        alone=before is not None and baseline is None,
        **counts,
        balanced=_balanced(now) if epsilon is None else None,
        confidence=round(float(now.confidence.mean()), _DIGITS) if epsilon is None else None,
        routed={place: value for place, value in sorted(told.items(), key=str) if place is not None},
        nowhere=told.get(None),
    )


def _balanced(answers: Answers) -> float:
    """Return the mean over the classes there are of the share that is right."""
    shares = [answers.right[answers.labels == label].double().mean() for label in answers.labels.unique()]
    return round(float(sum(shares) / len(shares)), _DIGITS)


def _noise(random: Generator, epsilon: float) -> int:
    success = 1 - noise_decay(epsilon)
    return int(random.geometric(success) - random.geometric(success))


def _fitting(counts: Mapping[str, int]) -> dict[str, int]:
    """Return noisy counts moved to the nearest that so many images can have; that tells nothing more of them."""
    images = max(counts["images"], 1)
    right = min(max(counts["right"], 0), images)
    most = {"lost": images - right, "gained": right, "taken": images, "returned": images}
    fitting = {name: min(max(counts[name], 0), most[name]) for name in most if name in counts}
    if "taken" in fitting:
        fitting["returned"] = min(fitting["returned"], images - fitting["taken"])
    return {"images": images, "right": right, **fitting}


def _told(places: Mapping[str | None, int], threshold: int, images: int) -> dict[str | None, int]:
    """Return the counts that are large enough, the largest first, as far as there are so many images."""
    told: dict[str | None, int] = {}
    for place, value in sorted(places.items(), key=lambda pair: (-pair[1], str(pair[0]))):
        if value >= threshold and sum(told.values()) + value <= images:
            told[place] = value
    return told
