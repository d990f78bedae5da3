"""Look-alikes: what is found, and what must not be joined."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from medforge.client.data.inspection.alignment import likeness, unmoved_likeness
from medforge.client.data.inspection.candidates import candidates
from medforge.client.data.inspection.look_alikes import Numbers, groups_of, look_alikes
from medforge.client.data.inspection.neighbours import nearest
from medforge.client.data.inspection.sketch import Sketches, sketch
from tests.client.data.inspection.pictures import film, picture, small, turned

PAIR = np.array([[0, 1]])


@pytest.fixture
def workers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def sketched(*images: Image.Image) -> Sketches:
    return sketch(np.stack([small(image) for image in images]))


def grouped(sketches: Sketches, kinds: Numbers, workers: ThreadPoolExecutor) -> Numbers:
    link = look_alikes(sketches, kinds, candidates(sketches), workers)
    return groups_of(len(sketches), link.pairs, [str(place) for place in range(len(sketches))])


@pytest.mark.parametrize("degrees", [3.0, 17.0, 25.0, 45.0, 90.0, 180.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_and_mirrored_picture_is_recognised(
    degrees: float, mirrored: bool, workers: ThreadPoolExecutor
) -> None:
    rings = sketched(picture(0), turned(picture(0), degrees, mirrored), picture(1)).rings
    same, other = likeness(rings, np.array([[0, 1], [0, 2]]), workers)
    assert same > 0.6
    assert other < 0.4


def test_a_zoomed_picture_is_recognised(workers: ThreadPoolExecutor) -> None:
    whole = picture(0)
    part = whole.crop((24, 24, 136, 136)).resize(whole.size, Image.Resampling.BICUBIC)
    assert likeness(sketched(whole, part).rings, PAIR, workers)[0] > 0.6


def test_likeness_is_symmetric_and_one_for_the_same(workers: ThreadPoolExecutor) -> None:
    rings = sketched(picture(0), turned(picture(0), 20), picture(2)).rings
    there = likeness(rings, np.array([[0, 1], [1, 2], [0, 0]]), workers)
    back = likeness(rings, np.array([[1, 0], [2, 1], [0, 0]]), workers)
    assert there == pytest.approx(back, abs=1e-5)
    assert there[2] == pytest.approx(1, abs=1e-3)


def test_a_picture_without_structure_is_like_no_other(workers: ThreadPoolExecutor) -> None:
    grey, other = (Image.new("RGB", (80, 80), colour) for colour in ("grey", "black"))
    rings = sketched(grey, other, picture(0)).rings
    pairs = np.array([[0, 1], [0, 2]])
    assert likeness(rings, pairs, workers).tolist() == [0, 0]
    assert unmoved_likeness(rings, pairs).tolist() == [0, 0]


def test_the_versions_of_one_tile_are_one_group(workers: ThreadPoolExecutor) -> None:
    chance = np.random.default_rng(0)
    images = [
        turned(picture(tile), chance.uniform(-25, 25), bool(version % 2)) for tile in range(12) for version in range(4)
    ]
    groups = grouped(sketched(*images), np.zeros(len(images), np.int64), workers)
    tiles = np.repeat(np.arange(12), 4)
    for tile in range(12):
        assert len(set(groups[tiles == tile])) == 1
    assert len(set(groups.tolist())) == 12


@pytest.mark.parametrize("named", [True, False])
def test_films_that_all_look_alike_do_not_become_one_group(named: bool, workers: ThreadPoolExecutor) -> None:
    """Also where they are a part of a class that holds other pictures too."""
    images = [film(seed) for seed in range(120)] + [picture(seed) for seed in range(120)]
    kinds = np.repeat([0, 1], 120) if named else np.zeros(240, np.int64)
    groups = grouped(sketched(*images), kinds, workers)
    assert np.bincount(groups).max() <= 3


def test_no_group_grows_beyond_its_bound(workers: ThreadPoolExecutor) -> None:
    """A morph, each step like the next, would join everything by way of the steps between."""
    first, last = (np.asarray(picture(seed), dtype=float) for seed in (0, 1))
    steps = [Image.fromarray(((1 - share) * first + share * last).astype(np.uint8)) for share in np.linspace(0, 1, 90)]
    images = steps + [picture(seed) for seed in range(2, 112)]
    groups = grouped(sketched(*images), np.zeros(len(images), np.int64), workers)
    assert np.bincount(groups).max() <= 50


def test_nearest_is_the_nearest() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32)
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (np.sort(nearest(rows, 5)) == np.sort(np.argsort(distances, axis=1)[:, :5])).all()
    assert nearest(rows[:1], 5).shape == (1, 0)
    assert nearest(rows[:3], 5).shape == (3, 2)
