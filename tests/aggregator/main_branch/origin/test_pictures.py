"""Distilled images are found again whatever was done to their look, and strangers are not."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.aggregator.main_branch.origin.picture_blocks import found_shares
from medforge.aggregator.main_branch.origin.pictures import MOST, picture_sketch
from medforge.base_module import BaseModule

ALIKE = 0.985


def drawn(seed: int, count: int = 8, side: int = 8) -> Tensor:
    """Smooth images [count, 3, 32, 32]."""
    random = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.randn(count, 3, side, side, generator=random), size=32, mode="bilinear")


def shares(base: BaseModule, images: Tensor, *others: Tensor) -> list[float]:
    return found_shares(picture_sketch(images, base), [picture_sketch(one, base) for one in others], ALIKE)


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images.flip(0),
        lambda images: images.flip(3).rot90(1, (2, 3)),
        lambda images: 0.6 * images + 0.4,
        lambda images: images[:3],
        lambda images: (
            images + 0.3 * images.std() * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
        ),
        lambda images: torch.cat([images[:2], drawn(50, 40)]),
    ],
    ids=["reordered", "turned", "brighter", "a part", "noise", "put among others"],
)
def test_images_are_found_whatever_was_done_to_them(tiny_base: BaseModule, change: object) -> None:
    images = drawn(0)
    stranger, copied = shares(tiny_base, change(images), drawn(1), images)  # type: ignore[operator]
    assert copied >= 0.25
    assert stranger == 0


def test_what_all_images_have_in_common_makes_no_copy(tiny_base: BaseModule) -> None:
    head = 10 * drawn(3, 1)
    assert shares(tiny_base, head + drawn(4), head + drawn(5)) == [0]
    assert shares(tiny_base, head + drawn(4), head + drawn(4)) == [1]


def test_many_datasets_and_large_ones(tiny_base: BaseModule) -> None:
    images = drawn(0, MOST + 40)
    others = [drawn(seed, 4) for seed in range(1, 40)]
    found = shares(tiny_base, images, *others, images[:3], torch.zeros(2, 3, 32, 32))
    assert found[:-2] == [0] * 39
    assert found[-2:] == [pytest.approx(1, abs=0.4), 0]
    assert len(picture_sketch(images, tiny_base)) == MOST


def test_images_that_are_all_one_picture_have_nothing_of_their_own(tiny_base: BaseModule) -> None:
    picture, others = drawn(0, 1), drawn(1)
    for count in (1, 3, 7, 200):
        assert shares(tiny_base, others, picture.expand(count, -1, -1, -1)) == [0]
        assert shares(tiny_base, picture, torch.cat([picture, others])) == [1]
