"""The look of a site: one change for all its images, the same to the byte wherever an image stands."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.sites.look import Look, _blurred

PLAIN = Look(blur=0.0, gamma=1.0, contrast=1.0, brightness=0.0, gains=(1.0, 1.0, 1.0))


def pixels(count: int = 300, side: int = 24) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, 3, side, side), generator=drawn, dtype=torch.uint8)


def test_no_change_changes_nothing() -> None:
    assert torch.equal(PLAIN(pixels(5)), pixels(5))


def test_an_image_gets_the_same_bytes_whatever_stands_beside_it() -> None:
    images, look = pixels(), Look.of_site(2, 7)
    store = PixelStore.of_tensor(images).changed(look)
    together = store[:]
    assert together.dtype == torch.uint8
    assert not torch.equal(together, images)
    for place in (0, 17, 255, 256, 299):
        assert torch.equal(store[[place]][0], together[place])
    assert torch.equal(store.select(np.array([299, 3]))[:], together[[299, 3]])
    assert store[[]].shape == (0, 3, 24, 24)


@pytest.mark.parametrize("deviation", [0.3, 1.1, 4.0])
def test_the_blur_is_scipy_s(deviation: float) -> None:
    images = pixels(3)
    truncate = np.ceil(3 * deviation) / deviation
    expected = images.numpy().astype(np.float64)
    for axis in (2, 3):
        expected = gaussian_filter1d(expected, deviation, axis=axis, mode="nearest", truncate=truncate)
    # half a step, for a value that lies on the edge
    assert np.abs(_blurred(images, deviation).numpy() - expected).max() <= 0.5001


def test_each_number_does_what_it_is_named_after() -> None:
    grey = torch.full((1, 3, 8, 8), 64, dtype=torch.uint8)
    for change, expected in (
        ({"gamma": 0.5}, round(255 * (64 / 255) ** 0.5)),
        ({"contrast": 0.5}, round(255 * ((64 / 255 - 0.5) * 0.5 + 0.5))),
        ({"brightness": 0.1}, round(64 + 25.5)),
    ):
        look = replace(PLAIN, **change)
        assert set(look(grey).flatten().tolist()) == {expected}
    red, green, blue = Look(0.0, 1.0, 1.0, 0.0, (1.25, 1.0, 0.5))(grey)[0, :, 0, 0].tolist()
    assert (red, green, blue) == (80, 64, 32)


def test_sites_differ_and_a_site_s_look_does_not_depend_on_how_many_there_are() -> None:
    looks = [Look.of_site(number, 0) for number in range(1, 6)]
    assert len(set(looks)) == 5
    assert Look.of_site(3, 0) == looks[2]
    assert Look.of_site(3, 1) != looks[2]
