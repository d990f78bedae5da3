"""Pictures that come under two labels, also behind a noise that nobody sees."""

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medforge.near_images import TOLERANCE, shared_picture

STD = (0.25, 0.5, 1.0)


def pictures(count: int, seed: int, size: int = 16) -> Tensor:
    """Return normalised pictures of a coarse pattern each."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return (torch.nn.functional.interpolate(coarse, size) / torch.tensor(STD).view(3, 1, 1)).half()


def noisy(images: Tensor, share: float) -> Tensor:
    """Return images under noise of this share of the tolerance."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    rms = noise.flatten(1).square().mean(dim=1).sqrt().view(-1, 1, 1, 1)
    return (images.float() + share * TOLERANCE * noise / rms / torch.tensor(STD).view(3, 1, 1)).half()


@settings(deadline=None, max_examples=20)
@given(count=st.integers(1, 30), seed=st.integers(0, 99), share=st.sampled_from([0.0, 0.5, 0.9]))
def test_the_same_pictures_in_both_classes_are_found(count: int, seed: int, share: float) -> None:
    once = pictures(count, seed)
    labels = torch.arange(2).repeat_interleave(count)
    found = shared_picture(torch.cat([once, noisy(once, share)]), labels, STD)
    assert found is not None
    assert labels[found[0]] != labels[found[1]]
    assert found[0] % count == found[1] % count
    # within one class they are wasteful, and no lie
    assert shared_picture(torch.cat([once, noisy(once, share)]), torch.zeros(2 * count, dtype=torch.int64), STD) is None


@pytest.mark.parametrize("count", [1, 10, 500])
def test_pictures_that_differ_are_nobodys_double(count: int) -> None:
    once = pictures(count, 0)
    labels = torch.arange(2).repeat_interleave(count)
    assert shared_picture(torch.cat([once, noisy(once, 1.2)]), labels, STD) is None
    assert shared_picture(torch.cat([once, pictures(count, 1)]), labels, STD) is None


def test_a_pair_is_found_among_many_in_a_moment() -> None:
    images = torch.randn(20_000, 3, 8, 8, generator=torch.Generator().manual_seed(0)).half()
    labels = torch.arange(500).repeat_interleave(40)
    images[19_999] = images[0]
    begun = time.process_time()
    assert shared_picture(images, labels, STD) == (0, 19_999)
    assert time.process_time() - begun < 5
