"""What is found alike among blocks of sketches is what walking over all arrivals finds, in the same order."""

import hashlib
from collections.abc import Mapping, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from benchmarks.origin_by_walking import Remembered, alike_by_walking
from medforge.aggregator.forge.policy import OriginPolicy
from medforge.aggregator.ledger.records import Origin
from medforge.aggregator.main_branch.origin import picture_blocks, weight_blocks
from medforge.aggregator.main_branch.origin.comparison import alike_arrivals
from medforge.aggregator.main_branch.origin.known import Known
from medforge.aggregator.main_branch.origin.weights import WeightLikeness, estimated_shares, sketched_products
from medforge.layouts import turned_rows

SITES = 3


class Drawn:
    """Arrivals of few contributors, of which many are copies of an earlier one in one way or another."""

    def __init__(self, seed: int, count: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        # some are remembered later than those with larger numbers
        numbers = [place + 5 * (self.one_in(4)) for place in range(1, count + 1)]
        self.known: list[Remembered] = []
        for number in sorted(set(numbers), key=numbers.index):
            self.known.append(self.arrival(number))

    def upto(self, most: int) -> int:
        return int(torch.randint(most, (1,), generator=self.random))

    def one_in(self, chances: int) -> bool:
        return self.upto(chances) == 0

    def arrival(self, number: int) -> Remembered:
        like = self.known[self.upto(len(self.known))] if self.known else None
        weights = torch.randn(SITES, 16, generator=self.random)
        images = F.normalize(torch.randn(1 + self.upto(5), 192, generator=self.random), dim=1).half()
        plugin, distilled = (hashlib.sha256(f"{number} {what}".encode()).hexdigest() for what in "pd")
        if like is not None:
            plugin = like.origin.plugin if self.one_in(8) else plugin
            distilled = like.origin.distilled if self.one_in(8) else distilled
            weights = self._weights(like, weights)
            images = images if like.images is None else self._images(like.images, images)
        origin = Origin(number, f"site {self.upto(6)}", plugin, distilled, b"", None)
        return Remembered(origin, weights, None if self.one_in(7) else images)

    def _weights(self, like: Remembered, own: torch.Tensor) -> torch.Tensor:
        """Another's, with noise, of a size, or at a site alone."""
        length_one = F.normalize(like.weights, dim=1)
        ways = (
            own, own, like.weights, 3 * like.weights, like.weights + 0.2 * own, like.weights + 0.5 * own,
            torch.cat([like.weights[:1], own[1:]]), torch.zeros_like(own), 1e-25 * length_one, 1e18 * length_one,
        )  # fmt: skip
        return ways[self.upto(len(ways))]

    def _images(self, like: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
        """Another's, turned, reordered and with noise, or a part of them among others."""
        turned = turned_rows(like.float(), 8)[self.upto(8)]
        noisy = F.normalize(turned + 0.01 * torch.randn(turned.shape, generator=self.random), dim=1)
        ways = (own, own, like, noisy.half().flip(0), torch.cat([noisy[:1].half(), own]))
        return ways[self.upto(len(ways))]


def remembered(known: Sequence[Remembered]) -> Known:
    """All of them, and what is forgotten is forgotten after it was remembered, as by an erasure."""
    kept = Known()
    for one in known:
        kept.add(one.origin, one.weights, torch.ones(3, 192).half() if one.images is None else one.images)
    for place, one in enumerate(known):
        if one.images is None:
            kept.pictures.forget(place)
    return kept


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(1, 40),
    weights=st.sampled_from([0.05, 0.6, 0.98, 1]),
    images=st.sampled_from([0.5, 0.985]),
    share=st.sampled_from([0.05, 0.25, 0.6]),
)
def test_the_same_arrivals_are_alike_in_the_same_order(
    seed: int, count: int, weights: float, images: float, share: float
) -> None:
    drawn, policy = Drawn(seed, count), OriginPolicy(weights=weights, images=images, share=share)
    with pytest.MonkeyPatch.context() as patched:
        # several blocks, and room that an erasure leaves
        patched.setattr(weight_blocks, "_AT_ONCE", 8)
        patched.setattr(picture_blocks, "_AT_ONCE", 16)
        kept = remembered(drawn.known)
        for place, arriving in enumerate(drawn.known):
            asked: list[list[int]] = []

            def exact(
                near: Sequence[int], mine: Remembered = arriving, asked: list[list[int]] = asked
            ) -> Mapping[int, WeightLikeness]:
                asked.append(list(near))
                others = torch.stack([drawn.known[at].weights for at in near])
                shares = estimated_shares(sketched_products(mine.weights, others), weights).tolist()
                return {at: WeightLikeness(one, 0.5, 1.0) for at, one in zip(near, shares, strict=True)}

            due = alike_by_walking(drawn.known, place, policy, exact)
            found = alike_arrivals(kept, place, policy, exact)
            assert [one.other for one in found] == [one.other for one in due]
            assert found == due
            # the same plugins are read, each once
            assert asked[: len(asked) // 2] == asked[len(asked) // 2 :]


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), alike=st.floats(0.5, 1))
def test_shares_of_weights_are_those_of_single_sketches(seed: int, alike: float) -> None:
    drawn = Drawn(seed, 20)
    kept = remembered(drawn.known)
    together = torch.stack([one.weights for one in drawn.known])
    due = estimated_shares(sketched_products(together[-1], together), alike)
    torch.testing.assert_close(kept.weights.estimated_shares(len(kept) - 1, alike), due, rtol=1e-12, atol=0)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_what_is_forgotten_of_images_is_gone(seed: int) -> None:
    known = Drawn(seed, 30).known
    kept = remembered(known)
    for place, one in enumerate(known):
        rows = kept.pictures.of(place)
        assert torch.equal(rows, torch.zeros(0, 192).half() if one.images is None else one.images)
    bytes_left = [block.rows for block in kept.pictures.blocks]
    assert not any((rows == 1).all(dim=1).any() for rows in bytes_left)
