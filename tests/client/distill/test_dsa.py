import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from medforge.client.distill.dsa import (
    OPERATIONS,
    Draw,
    augment,
    augment_each,
    color,
    crop,
    cutout,
    draw,
    draw_each,
    flip,
    rotate,
    scale,
)
from medforge.client.recipe import DsaRanges
from medforge.errors import InvalidInput

STRATEGY = "color_crop_cutout_flip_scale_rotate"
NEUTRAL = {
    "color": (0.0, 1.0, 1.0),
    "crop": (0.0, 0.3, 0.7),
    "cutout": (0.0, 0.3, 0.7),
    "flip": (0.0,),
    "scale": (1.0, 1.0),
    "rotate": (0.0,),
}


def images(count: int = 3, size: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def draws(count: int, seed: int = 0, strategy: str = STRATEGY) -> list[Draw]:
    chance = torch.Generator().manual_seed(seed)
    return [draw(chance, strategy, DsaRanges()) for _ in range(count)]


def test_every_operation_has_a_neutral_value_here() -> None:
    assert NEUTRAL.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("name", OPERATIONS)
def test_zero_strength_changes_nothing(name: str) -> None:
    x = images()
    torch.testing.assert_close(augment(x, Draw(name, NEUTRAL[name])), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", OPERATIONS)
def test_real_and_learned_side_get_the_same_operation(name: str) -> None:
    drawn = draws(1, seed=5, strategy=name)[0]
    real, learned = images(4, seed=1), images(2, seed=2)
    together = augment(torch.cat([real, learned]), drawn)
    torch.testing.assert_close(augment(real, drawn), together[:4], atol=0, rtol=0)
    torch.testing.assert_close(augment(learned, drawn), together[4:], atol=0, rtol=0)


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradient_reaches_the_pixels(name: str) -> None:
    x = images().requires_grad_()
    augment(x, draws(1, seed=5, strategy=name)[0]).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_color_is_brightness_then_saturation_then_contrast() -> None:
    x = images(2, 4)
    expected = torch.empty_like(x)
    for n in range(2):
        bright = x[n] + 0.2
        grey = (bright[0] + bright[1] + bright[2]) / 3
        saturated = torch.stack([(channel - grey) * 1.5 + grey for channel in bright])
        expected[n] = (saturated - saturated.mean()) * 0.7 + saturated.mean()
    torch.testing.assert_close(color(x, 0.2, 1.5, 0.7), expected)


def test_crop_moves_the_image_and_lets_zeros_in() -> None:
    x = images(1, 8)
    moved = crop(x, 0.25, 0.9, 0.3)  # of −2 … 2 the last and the second
    for row in range(8):
        for column in range(8):
            from_row, from_column = row - 2, column + 1
            inside = 0 <= from_row < 8 and 0 <= from_column < 8
            expected = x[0, :, from_row, from_column] if inside else torch.zeros(3)
            assert torch.equal(moved[0, :, row, column], expected)


def test_cutout_clears_a_square_around_its_middle() -> None:
    cleared = cutout(torch.ones(1, 3, 8, 8), 0.5, 0.5, 0.0)
    expected = torch.ones(8, 8)
    expected[2:6, 0:2] = 0
    assert torch.equal(cleared[0, 0], expected)


@pytest.mark.parametrize("size", [16, 64, 225])
def test_crop_and_cutout_count_pixels_as_the_public_code_does(size: int) -> None:
    """There `int(x + .5)` rounds and `randint` draws; halves go up, extremes are as likely as the rest."""
    x = torch.ones(1, 1, size, size)
    reach, side = int(size * 0.125 + 0.5), int(size * 0.5 + 0.5)
    shifts, middles = range(-reach, reach + 1), range(size + (1 - side % 2))
    for index, shift in enumerate(shifts):
        moved = crop(x, 0.125, (index + 0.5) / len(shifts), 0.5)
        assert int(moved[0, 0].any(dim=1).sum()) == size - abs(shift)
        assert bool(moved[0, 0, 0].any()) == (shift <= 0)
        assert moved[0, 0].any(dim=0).all()
    for index, middle in enumerate(middles):
        rows = (cutout(x, 0.5, (index + 0.5) / len(middles), 0.5)[0, 0] == 0).any(dim=1).nonzero().flatten()
        expected = [row for row in range(middle - side // 2, middle - side // 2 + side) if 0 <= row < size]
        assert rows.tolist() == expected


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_batch_may_have_one_operation_and_numbers_for_each_image(name: str) -> None:
    chance = torch.Generator().manual_seed(5)
    drawn = draw_each(chance, name, DsaRanges(), 4)
    assert {d.operation for d in drawn} == {name}
    assert len({d.values for d in drawn}) > 1
    x = images(4)
    for image, one, changed in zip(x, drawn, augment_each(x, drawn), strict=True):
        assert torch.equal(augment(image[None], one)[0], changed)
    assert draw_each(torch.Generator().manual_seed(5), name, DsaRanges(), 1)[0] == draws(1, 5, name)[0]


def test_flip_mirrors_left_and_right() -> None:
    x = images()
    assert torch.equal(flip(x, 1.0), x.flip(-1))


def test_a_quarter_turn_equals_rot90() -> None:
    x = images()
    turned = rotate(x, math.pi / 2)
    quarter = torch.rot90(x, 1, (-2, -1)), torch.rot90(x, -1, (-2, -1))
    assert min(float((turned - q).abs().max()) for q in quarter) < 1e-4


def test_scale_two_shrinks_to_the_middle_and_lets_zeros_in() -> None:
    shrunk = scale(torch.ones(1, 3, 16, 16), 2.0, 1.0)
    assert shrunk[0, 0, :3].abs().max() == 0
    assert shrunk[0, 0, -3:].abs().max() == 0
    torch.testing.assert_close(shrunk[0, 0, 5:11], torch.ones(6, 16))


def test_draws_stay_in_their_ranges_and_operations_are_equally_likely() -> None:
    drawn = draws(3000)
    counts = Counter(d.operation for d in drawn)
    assert set(counts) == set(OPERATIONS)
    assert all(400 < count < 600 for count in counts.values())
    limits = {
        "color": ((-0.5, 0.5), (0.0, 2.0), (0.5, 1.5)),
        "crop": ((0.125, 0.125), (0.0, 1.0), (0.0, 1.0)),
        "cutout": ((0.5, 0.5), (0.0, 1.0), (0.0, 1.0)),
        "flip": ((0.0, 1.0),),
        "scale": ((1 / 1.2, 1.2),) * 2,
        "rotate": ((-math.radians(15), math.radians(15)),),
    }
    for d in drawn:
        assert len(d.values) == len(limits[d.operation])
        assert all(low <= value <= high for value, (low, high) in zip(d.values, limits[d.operation], strict=True))
    flips = [d.values[0] for d in drawn if d.operation == "flip"]
    assert 0.4 < sum(flips) / len(flips) < 0.6


def test_equal_seeds_draw_equally() -> None:
    assert draws(20, seed=3) == draws(20, seed=3)
    assert draws(20, seed=3) != draws(20, seed=4)


def test_unknown_operation_is_named() -> None:
    with pytest.raises(
        InvalidInput, match="'color_blur' has an operation that there is not; join some of color, crop, cutout, flip"
    ):
        draws(1, strategy="color_blur")
