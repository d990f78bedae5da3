"""From answers to counts: what is paired, what is too small to be sent, and the noise."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medforge.client.review.answers import Answers
from medforge.client.review.counting import count
from medforge.proto.review_noise import COUNTS_OF_AN_IMAGE, noise_variance
from medforge.proto.signed_review import TaskReview

BASELINE = "b" * 64


def answers(right: list[bool], routed: list[str | None], labels: list[int] | None = None) -> Answers:
    return Answers(
        torch.tensor(labels or [0] * len(right)),
        torch.tensor(right),
        torch.full((len(right),), 0.5, dtype=torch.float64),
        tuple(routed),
    )


def test_what_changed_is_counted_image_by_image() -> None:
    before = answers([True] * 8 + [False] * 2, ["own"] * 9 + ["other"])
    now = answers([True] * 5 + [False] * 4 + [True], ["own"] * 4 + ["other"] * 5 + ["own"], [0] * 5 + [1] * 5)
    seen = count(now, "own", 5, before, BASELINE)
    assert seen is not None
    assert (seen.images, seen.right, seen.lost, seen.gained) == (10, 6, 3, 1)
    assert (seen.taken, seen.returned) == (5, 1)
    assert seen.balanced == pytest.approx((1.0 + 0.2) / 2)
    assert (seen.routed, seen.nowhere, seen.confidence) == ({"other": 5, "own": 5}, None, 0.5)


def test_few_images_are_not_sent_and_small_places_are_left_out() -> None:
    few = answers([True] * 9, ["own"] * 9)
    assert count(few, "own", 10) is None
    spread = answers([True] * 30, ["own"] * 15 + ["other"] * 5 + [None] * 10)
    seen = count(spread, "own", 10)
    assert seen is not None
    assert (seen.routed, seen.nowhere, seen.baseline) == ({"own": 15}, 10, None)


@given(st.lists(st.tuples(*[st.booleans()] * 2, *[st.sampled_from(["own", "other", None])] * 2), min_size=1,
                max_size=60), st.sampled_from([None, 0.1, 1.0, 20.0]))  # fmt: skip
def test_counts_are_always_ones_that_so_many_images_can_have(
    images: list[tuple[bool, bool, str | None, str | None]], epsilon: float | None
) -> None:
    """The model of a review refuses any other."""
    was, still, there, here = (list(column) for column in zip(*images, strict=True))
    seen = count(answers(still, here), "own", 1, answers(was, there), BASELINE, epsilon, ("own", "other"))  # type: ignore[arg-type]
    if seen is None:
        assert epsilon is not None
    else:
        TaskReview.model_validate(seen.model_dump())
        assert (seen.balanced is None) == (seen.confidence is None) == (epsilon is not None)


def test_the_noise_is_two_sided_geometric_of_the_stated_epsilon() -> None:
    """Mean, variance and the ratio of neighbouring probabilities of 4000 noisy counts of 5000 right images."""
    epsilon = 10.0
    now = answers([True] * 5000 + [False] * 5000, ["own"] * 10000)
    drawn = [count(now, "own", 1, epsilon=epsilon, tasks=("own",)) for _ in range(4000)]
    noise = torch.tensor([one.right - 5000 for one in drawn if one is not None], dtype=torch.float64)
    assert abs(float(noise.mean())) < 5 * math.sqrt(noise_variance(epsilon) / 4000)
    assert float(noise.var()) == pytest.approx(noise_variance(epsilon), rel=0.25)
    zero, one = (float((noise.abs() == size).double().mean()) for size in (0, 1))
    assert one / 2 / zero == pytest.approx(math.exp(-epsilon / COUNTS_OF_AN_IMAGE), rel=0.25)
