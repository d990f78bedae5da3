"""The tissue painter: its optics, its geometry, and that its attributes do what they say."""

from dataclasses import fields, replace

import pytest
import torch

from medforge.client.data.drawn.organs import COMMON
from medforge.client.data.drawn.painter import GLAND, LACE, SHEET, Scenes, paint, resized
from medforge.client.data.drawn.painter_fields import Cells, Spots, blur, draw_spots, grid, noise, partition
from medforge.client.data.drawn.painter_stain import Stain, draw_stain, stained

COUNT = 8


def plain(count: int = COUNT, **changes: float) -> Scenes:
    """Scenes of the middle of every attribute's common range."""
    values = {name: (low + high) / 2 for name, (low, high) in COMMON.items()}
    values = {"architecture": SHEET, **values, "red_cells": 0.0, "necrosis": 0.0, "vacuoles": 0.0, **changes}
    return Scenes(**{field.name: torch.full((count,), values[field.name]) for field in fields(Scenes)})


def pictures(scenes: Scenes, seed: int = 0, zoom: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return paint(scenes, draw_stain(len(scenes), generator, 0.0), generator, zoom)


def brightness(scenes: Scenes) -> float:
    return float(pictures(scenes).float().mean())


def test_stain_follows_beer_and_lambert() -> None:
    stain = Stain(
        torch.tensor([[0.5, 1.0, 0.0]]),
        torch.tensor([[0.0, 0.2, 0.4]]),
        torch.zeros(1, 3),
        torch.tensor([[0.9, 1.0, 0.8]]),
    )
    amount = torch.full((1, 2, 2), 2.0)
    light = stained(amount, amount / 2, amount, stain)[0, :, 0, 0]
    expected = torch.tensor([0.9, 1.0, 0.8]) * torch.exp(-torch.tensor([1.0, 2.2, 0.4]))
    torch.testing.assert_close(light, expected)


def test_same_seed_paints_the_same_picture_and_another_seed_another() -> None:
    scenes = plain(architecture=GLAND)
    assert torch.equal(pictures(scenes), pictures(scenes))
    assert not torch.equal(pictures(scenes), pictures(scenes, seed=1))


@pytest.mark.parametrize("zoom", [1, 2])
def test_pictures_have_the_size_asked_for(zoom: int) -> None:
    painted = pictures(plain(2), zoom=zoom)
    assert painted.shape == (2, 3, 64 * zoom, 64 * zoom)
    assert painted.dtype == torch.uint8
    assert resized(painted, 50).shape == (2, 3, 50, 50)
    assert resized(painted, 64 * zoom) is painted


@pytest.mark.parametrize(
    ("attribute", "little", "much"),
    [
        ("chromatin", 0.5, 2.0), ("crowding", 0.3, 1.1), ("cytoplasm_h", 0.05, 0.6), ("cytoplasm_e", 0.05, 0.8),
    ],
)  # fmt: skip
def test_more_dye_is_darker(attribute: str, little: float, much: float) -> None:
    assert brightness(plain(**{attribute: much})) < brightness(plain(**{attribute: little})) - 2


def test_lumina_and_vacuoles_let_light_through() -> None:
    glands = plain(architecture=GLAND, lumen=0.0)
    assert brightness(replace(glands, lumen=torch.full((COUNT,), 0.7))) > brightness(glands) + 2
    assert brightness(replace(glands, vacuoles=torch.full((COUNT,), 1.0))) > brightness(glands) + 2


def test_thin_walls_leave_more_air() -> None:
    assert brightness(plain(architecture=LACE, gap=2.0)) > brightness(plain(architecture=LACE, gap=12.0)) + 2


def test_a_round_spot_covers_its_area() -> None:
    rows = torch.full((1, 48, 48), -100.0)
    columns = rows.clone()
    rows[0, 3, 3], columns[0, 3, 3] = 40.0, 40.0
    radius = torch.zeros(1, 48, 48)
    radius[0, 3, 3] = 8.0
    spots = Spots(Cells(rows, columns, torch.full((1, 1, 1), 16.0)), radius, radius, 0 * radius, 0 * radius + 1)
    cover, _ = draw_spots(spots, 64, 1.0)
    assert float(cover.sum()) == pytest.approx(torch.pi * 64, rel=0.03)
    assert float(cover[0, 40, 40]) == 1.0


def test_partition_distances_are_those_of_its_own_centres() -> None:
    rows, columns = (axis.expand(2, -1, -1) for axis in grid(64))
    cut = partition(torch.tensor([10.0, 20.0]), rows, columns, torch.Generator().manual_seed(0))
    assert (cut.centre >= 0).all()
    assert (cut.border >= 0).all()
    assert (cut.inner <= 1 + 1e-5).all()
    assert float(cut.centre[1].mean()) > 1.5 * float(cut.centre[0].mean())


def test_noise_has_unit_scale_and_blur_keeps_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    field = noise(64, 64, 8, generator)
    assert 0.7 < float(field.std()) < 1.3
    flat = torch.full((2, 3, 64, 64), 0.25)
    torch.testing.assert_close(blur(flat, torch.tensor([0.3, 1.5])), flat)
    smooth = blur(field[:2], torch.tensor([0.05, 1.5]))
    torch.testing.assert_close(smooth[0], field[0])
    assert float(smooth[1].std()) < float(field[1].std())
