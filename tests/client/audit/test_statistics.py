"""Each statistic of the audit against a plain transcription of its definition, and what it claims not to notice."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medforge.client.audit.distances import directions, nearest
from medforge.client.audit.gallery import Gallery
from medforge.client.audit.membership import attacks, within_class
from medforge.client.audit.near_copies import IDENTICAL, by_features, by_layout
from medforge.client.audit.policy import SitePolicy
from medforge.client.audit.roc import area, curve, rate_at
from medforge.layouts import layouts, turned, turned_rows


def images(count: int, size: int = 32, seed: int = 0) -> Tensor:
    """Smooth random images: noise drawn at 8×8 and blown up."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    grown = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")
    return (40 + 160 * grown).round().to(torch.uint8)


def gallery(pixels: Tensor, members: int, groups: Tensor | None = None, width: int = 6) -> Gallery:
    random = torch.Generator().manual_seed(5)
    count = len(pixels)
    return Gallery(
        members=members,
        layouts=layouts(pixels),
        embeddings=torch.randn(count, width, generator=random) + 3,
        base_loss=torch.rand(count, generator=random),
        plugin_loss=torch.rand(count, generator=random),
        labels=torch.arange(count) % 2,
        groups=torch.arange(count) if groups is None else groups,
    )


def test_a_layout_is_the_normalised_small_image() -> None:
    image = images(1)[0]
    small = [[[0.0] * 16 for _ in range(16)] for _ in range(3)]
    for channel in range(3):
        for row in range(16):
            for column in range(16):
                cell = [float(image[channel, 2 * row + i, 2 * column + j]) for i in range(2) for j in range(2)]
                small[channel][row][column] = sum(cell) / 4
    flat = []
    for plane in small:
        mean = sum(map(sum, plane)) / 256
        flat += [value - mean for row in plane for value in row]
    length = math.sqrt(sum(value * value for value in flat))
    expected = torch.tensor([value / length for value in flat])
    torch.testing.assert_close(layouts(image.unsqueeze(0))[0], expected)


def test_the_distance_of_layouts_is_the_correlation_of_the_small_images() -> None:
    a, b = images(2, size=16).float()
    centred = [x - x.mean(dim=(1, 2), keepdim=True) for x in (a, b)]
    correlation = torch.corrcoef(torch.stack([x.flatten() for x in centred]))[0, 1]
    rows = layouts(torch.stack([a, b]))
    assert float((rows[0] - rows[1]).norm()) == pytest.approx(math.sqrt(2 - 2 * float(correlation)), rel=1e-4)


@settings(deadline=None, max_examples=25)
@given(gain=st.floats(0.3, 1.2), shift=st.tuples(*[st.floats(0, 10)] * 3), seed=st.integers(0, 99))
def test_a_layout_does_not_notice_brightness_contrast_and_colour_cast(
    gain: float, shift: tuple[float, ...], seed: int
) -> None:
    original = images(1, seed=seed)
    changed = gain * original.float() + torch.tensor(shift).view(3, 1, 1)
    assert float((layouts(original) - layouts(changed)).norm()) < 1e-3


def test_an_image_without_structure_has_no_layout() -> None:
    assert layouts(torch.full((1, 3, 32, 32), 200, dtype=torch.uint8)).abs().max() == 0


@pytest.mark.parametrize("size", [16, 28, 32, 50])
def test_turning_layouts_is_turning_images(size: int) -> None:
    pixels = images(3, size)
    assert len({tuple(version[0].flatten().tolist()) for version in turned(pixels)}) == 8
    expected = torch.stack([layouts(version) for version in turned(pixels)])
    torch.testing.assert_close(turned_rows(layouts(pixels)), expected, atol=1e-5, rtol=0)


def plain_nearest(versions: Tensor, rows: Tensor, own: list[int], groups: list[int]) -> list[tuple[float, int]]:
    out = []
    for query in range(versions.shape[1]):
        best = (math.inf, -1)
        for at, row in enumerate(rows):
            if groups[at] == own[query]:
                continue
            distance = min(
                math.sqrt(sum((float(a) - float(b)) ** 2 for a, b in zip(v[query], row, strict=True))) for v in versions
            )
            best = min(best, (distance, at))
        out.append(best)
    return out


@pytest.mark.parametrize("entries", [1 << 24, 7])
def test_the_nearest_row_of_another_group(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medforge.client.audit.distances._ENTRIES", entries)
    random = torch.Generator().manual_seed(0)
    versions, rows = torch.randn(2, 5, 3, generator=random), torch.randn(9, 3, generator=random)
    own, groups = [0, 1, 2, 0, 9], [0, 0, 1, 1, 2, 2, 3, 3, 0]
    found = nearest(versions, rows, torch.tensor(own), torch.tensor(groups))
    expected = plain_nearest(versions, rows, own, groups)
    assert found.position.tolist() == [at for _, at in expected]
    assert found.distance.tolist() == pytest.approx([distance for distance, _ in expected], rel=1e-4)
    everywhere = plain_nearest(versions[:1], rows, [-1] * 5, groups)
    assert nearest(versions[0], rows).position.tolist() == [at for _, at in everywhere]


def test_a_comparison_is_relative_to_the_median_between_real_images_of_different_groups() -> None:
    pixels = images(12)
    groups = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])
    real = gallery(pixels, 8, groups)
    learned = torch.randn(4, 6, generator=torch.Generator().manual_seed(2)) + 3
    compared = by_features(real, learned, seed=0)

    centre = sum(real.embeddings[:8]) / 8  # of the training images alone
    rows = torch.stack([(row - centre) / (row - centre).norm() for row in real.embeddings])
    between = sorted(d for d, _ in plain_nearest(rows.unsqueeze(0), rows, groups.tolist(), groups.tolist()))
    assert sorted(compared.reference.tolist()) == pytest.approx(between, rel=1e-4)
    assert compared.typical == pytest.approx(between[5], rel=1e-4)  # the lower of the two in the middle
    queries = torch.stack([(row - centre) / (row - centre).norm() for row in learned])
    distances = [d for d, _ in plain_nearest(queries.unsqueeze(0), rows, [-1] * 4, groups.tolist())]
    assert compared.relative.tolist() == pytest.approx([d / between[5] for d in distances], rel=1e-4)
    shares = [sum(b <= d for b in between) / 12 for d in distances]
    assert compared.quantiles.tolist() == pytest.approx(shares)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 999), turn=st.integers(0, 7), gain=st.floats(0.4, 1.0), noise=st.floats(0, 10))
def test_a_copy_of_a_real_image_is_always_close(seed: int, turn: int, gain: float, noise: float) -> None:
    """Also turned, dimmed and under noise."""
    real = gallery(images(10, seed=seed), 8)
    random = torch.Generator().manual_seed(seed)
    copy = turned(gain * images(10, seed=seed)[3:4].float())[turn]
    copy = (copy + gain * noise * torch.randn(copy.shape, generator=random)).clamp(0, 255).round()
    compared = by_layout(real, copy.to(torch.uint8), seed=0)
    assert compared.found.position.tolist() == [3]
    assert float(compared.relative[0]) < SitePolicy().layout_distance


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 999), turn=st.integers(0, 7), times=st.integers(1, 3))
def test_a_copy_is_close_also_where_the_data_set_holds_every_image_several_times(
    seed: int, turn: int, times: int
) -> None:
    real = gallery(images(10, seed=seed).repeat(times, 1, 1, 1), 8)
    compared = by_layout(real, turned(images(10, seed=seed))[turn], seed=0)
    assert float(compared.found.distance.max()) <= IDENTICAL
    by_base = by_features(real, real.embeddings, seed=0)
    assert float(by_base.found.distance.max()) <= IDENTICAL


def test_new_images_are_as_far_as_real_ones_are() -> None:
    real = gallery(images(60), 50)
    compared = by_layout(real, images(20, seed=7), seed=0)
    assert 0.9 < float(compared.relative.median()) < 1.1
    assert float(compared.relative.min()) > 0.75


def test_directions_are_seen_from_the_centre() -> None:
    rows = directions(torch.tensor([[2.0, 1.0], [1.0, 4.0]]), torch.tensor([1.0, 1.0]))
    assert rows.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def plain_auc(members: list[float], others: list[float]) -> float:
    wins = sum((m > o) + 0.5 * (m == o) for m in members for o in others)
    return wins / (len(members) * len(others))


@pytest.mark.parametrize("tied", [False, True])
def test_the_area_and_its_interval_are_delongs(tied: bool) -> None:
    random = np.random.default_rng(3)
    members, others = random.normal(0.6, 1, 40), random.normal(0, 1, 25)
    if tied:
        members, others = members.round(), others.round()
    found = area(members, others, np.arange(65))
    value = plain_auc(members.tolist(), others.tolist())
    assert found.value == pytest.approx(value)

    v10 = [plain_auc([m], others.tolist()) for m in members]
    v01 = [plain_auc(members.tolist(), [o]) for o in others]
    s10 = sum((v - value) ** 2 for v in v10) / 39
    s01 = sum((v - value) ** 2 for v in v01) / 24
    half = 1.959964 * math.sqrt(s10 / 40 + s01 / 25)
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=0.03)


def test_images_of_one_patient_count_as_one() -> None:
    """An interval over copies of every image is as wide as over the images; taken for new images it would shrink."""
    random = np.random.default_rng(4)
    members, others = random.normal(0.4, 1, 60), random.normal(0, 1, 50)
    once = area(members, others, np.arange(110))
    groups = np.concatenate([np.repeat(np.arange(60), 9), np.repeat(np.arange(60, 110), 9)])
    many = area(np.repeat(members, 9), np.repeat(others, 9), groups)
    careless = area(np.repeat(members, 9), np.repeat(others, 9), np.arange(990))
    assert many == pytest.approx(once)
    assert (careless.high - careless.low) == pytest.approx((once.high - once.low) / 3, rel=0.02)


def test_the_interval_holds_the_true_area_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    truth = 0.5 * (1 + math.erf(0.7 / 2))  # P(N(0.7, 1) > N(0, 1))
    held = 0
    for _ in range(400):
        found = area(random.normal(0.7, 1, 80), random.normal(0, 1, 60), np.arange(140))
        held += found.low <= truth <= found.high
    assert 0.91 < held / 400 < 0.98


@pytest.mark.parametrize(("members", "others"), [([3.0, 4.0], [1.0, 2.0]), ([1.0, 2.0], [3.0, 4.0])])
def test_an_interval_stays_within_bounds(members: list[float], others: list[float]) -> None:
    found = area(np.array(members), np.array(others), np.arange(4))
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_the_rate_at_one_per_cent_false_alarms() -> None:
    random = np.random.default_rng(1)
    members, others = random.normal(1, 1, 300).round(1), random.normal(0, 1, 250).round(1)
    best = 0.0
    for threshold in [*members, *others, math.inf]:
        false = sum(o >= threshold for o in others) / 250
        if false <= 0.01:
            best = max(best, sum(m >= threshold for m in members) / 300)
    assert rate_at(curve(members, others)) == pytest.approx(best)
    assert best > 0


def test_ranks_within_the_class() -> None:
    values, labels = torch.tensor([3.0, 1.0, 2.0, 10.0, 10.0, 30.0]), torch.tensor([0, 0, 0, 1, 1, 1])
    assert within_class(values, labels).tolist() == pytest.approx([5 / 6, 1 / 6, 3 / 6, 2 / 6, 2 / 6, 5 / 6])


def test_the_attacks_see_what_leaks_and_only_that() -> None:
    """Distilled images that are training images, and a loss that knows the members, are found; chance is not."""
    pixels = images(200)
    real = gallery(pixels, 100)
    leaked = {a.name: a for a in attacks(real, pixels[:100], real.embeddings[:100])}
    for name in ("nearness in layout", "nearness in features"):
        assert leaked[name].area.value == 1
        assert leaked[name].rate == 1
    assert all(leaked[n].area.low < 0.5 < leaked[n].area.high for n in ("loss", "loss below the base's"))
    known = replace(real, plugin_loss=torch.cat([torch.zeros(100), torch.ones(100)]))
    honest = {a.name: a for a in attacks(known, images(16, seed=9), torch.randn(16, 6) + 3)}
    assert honest["loss"].area.value == honest["loss within the class"].area.value == 1
    assert honest["nearness in layout"].area.low < 0.5 < honest["nearness in layout"].area.high


def test_hard_and_easy_images_do_not_hide_what_the_plugin_learned() -> None:
    real = gallery(images(200), 100)
    learned = torch.cat([torch.full((100,), 0.2), torch.zeros(100)])
    real = replace(real, base_loss=10 * real.base_loss, plugin_loss=10 * real.base_loss - learned)
    found = {a.name: a for a in attacks(real, images(4, seed=9), real.embeddings[:4])}
    assert found["loss"].area.value < 0.6
    assert found["loss below the base's"].area.value == 1
