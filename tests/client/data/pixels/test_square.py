"""A picture is made square as open_clip's own transform does it, whatever a base asks for."""

from itertools import product

import numpy as np
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image

from medforge.client.data.pixels.decode import to_pixels
from medforge.image_geometry import ImageGeometry, as_geometry

SIZE = 16
WAYS = list(product(("shortest", "longest", "squash"), ("bicubic", "bilinear")))


@pytest.mark.parametrize(("resize_mode", "interpolation"), WAYS)
@pytest.mark.parametrize("shape", [(13, 9), (9, 13), (16, 16), (8, 8), (8, 31), (97, 33), (33, 97), (5, 7), (70, 460)])
def test_pixels_are_those_of_open_clip_s_transform(
    shape: tuple[int, int], resize_mode: str, interpolation: str
) -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8))
    asked = {"resize_mode": resize_mode, "interpolation": interpolation}
    transform = image_transform(SIZE, False, mean=(0.0,) * 3, std=(1.0,) * 3, fill_color=7, **asked)
    expected = (transform(picture) * 255).round().to(torch.uint8).numpy()
    geometry = ImageGeometry.model_validate({"size": SIZE, "fill": 7, **asked})
    np.testing.assert_array_equal(to_pixels(picture, geometry), expected)


def test_every_way_gives_other_pixels() -> None:
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 90, 3), dtype=np.uint8))
    made = [
        to_pixels(picture, ImageGeometry.model_validate({"size": SIZE, "resize_mode": mode, "interpolation": filter_}))
        for mode, filter_ in WAYS
    ]
    assert len({pixels.tobytes() for pixels in made}) == len(WAYS)


def test_a_picture_of_one_row_keeps_its_row() -> None:
    picture = Image.fromarray(np.full((1, 900, 3), 200, dtype=np.uint8))
    pixels = to_pixels(picture, ImageGeometry(size=SIZE, resize_mode="longest"))
    assert (pixels == 200).any()
    assert (pixels == 0).any()


def test_the_fill_counts_only_where_it_fills() -> None:
    """What is cached by a geometry's key stays where the fill changes nothing; what was written before stays too."""
    assert ImageGeometry(size=8, fill=3).key() == as_geometry(8).key()
    longest = ImageGeometry(size=8, resize_mode="longest")
    assert longest.key() != longest.model_copy(update={"fill": 3}).key()
    assert "fill" not in longest.model_dump(mode="json")
    assert longest.model_copy(update={"fill": 3}).model_dump(mode="json")["fill"] == 3
