"""Which class statistics leave a site: none of a small class, and no more than the limits on attacks allow."""

from dataclasses import replace
from math import inf

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medforge.class_statistics import ClassStatistics
from medforge.client.audit.gallery import numbered
from medforge.client.audit.policy import SitePolicy
from medforge.client.audit.statistics_attacks import attack_statistics, directions_kept
from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.task import Split, Task
from medforge.client.embeddings import Embeddings
from medforge.client.release import FLOORS, coarsened, release
from medforge.determinism import on_grid

WIDTH = 24


def drawn(count: int, seed: int, classes: int = 2) -> tuple[Tensor, Tensor]:
    """Embeddings on the grid that differ much in some directions and little in others, as a network's do."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    spread = torch.logspace(0, -3, WIDTH, dtype=torch.float64)
    rows = spread * torch.randn(count, WIDTH, generator=random, dtype=torch.float64) + labels.unsqueeze(1)
    return on_grid(rows).float(), labels


def make_task(train: Tensor, validation: Tensor, prompts: tuple[str, ...] = ("dark", "bright")) -> Task:
    splits = [
        Split(PixelStore.of_tensor(torch.zeros(len(labels), 3, 2, 2, dtype=torch.uint8)), labels)
        for labels in (train, validation, validation)
    ]
    return Task("shades", prompts, *splits, split="procedural")


def site(count: int, others: int = 400) -> tuple[Embeddings, Task]:
    (rows, labels), (held, known) = drawn(count, 1), drawn(others, 2)
    return Embeddings(rows, held), make_task(labels, known)


def areas(statistics: ClassStatistics, embeddings: Embeddings, task: Task) -> list[float]:
    rows = torch.cat([embeddings.train, embeddings.validation])
    labels = torch.cat([task.train.labels, task.validation.labels])
    groups = numbered(None, None, len(labels))
    return [one.area.value for one in attack_statistics(statistics, rows, labels, groups, len(task.train))]


def test_of_many_images_the_finest_covariance_leaves() -> None:
    embeddings, task = site(4000)
    found = release(embeddings, task, SitePolicy())
    exact = ClassStatistics.of(embeddings.train, task.train.labels, 2)
    assert found.statistics is not None
    assert found.statistics.to_bytes() == coarsened(exact, FLOORS[0]).to_bytes()
    assert found.said == ()


def test_of_few_images_less_detail_leaves_and_the_attacks_stay_within_the_limits() -> None:
    embeddings, task = site(60)
    exact = ClassStatistics.of(embeddings.train, task.train.labels, 2)
    # with so few images the covariance gives them away
    assert max(areas(exact, embeddings, task)) > 0.8
    finest = coarsened(exact, FLOORS[0])
    assert max(areas(finest, embeddings, task)) > 0.65
    found = release(embeddings, task, SitePolicy()).statistics
    assert found is not None
    assert directions_kept(found.covariance) < directions_kept(finest.covariance)
    assert max(areas(found, embeddings, task)) <= 0.65
    assert torch.equal(found.sums, exact.sums)


def test_where_the_means_alone_say_too_much_nothing_leaves() -> None:
    (rows, labels), (held, known) = drawn(24, 1), drawn(400, 2)
    near = rows * 0.2 + labels.unsqueeze(1) * 0.8
    found = release(Embeddings(near, held), make_task(labels, known), SitePolicy())
    assert found.statistics is None
    assert found.said[-1].startswith("no class statistics are sent: even without a covariance an attack by nearness to")


def test_a_small_class_sends_none_and_is_left_out_of_the_covariance() -> None:
    (rows, _), (held, known) = drawn(4000, 1), drawn(400, 2)
    labels = torch.where(torch.arange(4000) % 500 == 0, 1, 0)
    found = release(Embeddings(rows, held), make_task(labels, known), SitePolicy())
    assert found.said == (
        "class 'bright' has 8 training images, so it sends no class statistics; the site asks for at least 10",
    )
    assert found.statistics is not None
    assert found.statistics.counts.tolist() == [3992, 0]
    assert not found.statistics.sums[1].any()
    alone = ClassStatistics.of(rows[labels == 0], labels[labels == 0], 2)
    assert found.statistics.to_bytes() == coarsened(alone, FLOORS[0]).to_bytes()


def test_where_every_class_is_small_nothing_leaves() -> None:
    embeddings, task = site(18)
    found = release(embeddings, task, SitePolicy())
    assert found.statistics is None
    assert len(found.said) == 2


def test_a_site_may_be_stricter() -> None:
    embeddings, task = site(4000)
    assert release(embeddings, task, SitePolicy(statistics_images=2001)).statistics is None
    loose = release(*site(60), SitePolicy(statistics_auc=1.0, statistics_tpr=1.0)).statistics
    assert loose is not None
    assert directions_kept(loose.covariance) > 5


@given(st.sampled_from([*FLOORS, 0.01]), st.integers(0, 20))
@settings(max_examples=25, deadline=None)
def test_what_is_forgotten_is_levelled_and_the_rest_stays(floor: float, seed: int) -> None:
    rows, labels = drawn(200, seed)
    exact = ClassStatistics.of(rows, labels, 2)
    coarse = coarsened(exact, floor)
    before, after = (torch.linalg.eigvalsh(one.covariance.double()) for one in (exact, coarse))
    mean = before.mean()
    low = before < floor * mean
    close = float(2e-5 * before.max())
    torch.testing.assert_close(after[~low], before[~low], atol=close, rtol=0)
    level = mean if floor == inf else floor * mean
    torch.testing.assert_close(after[low], level.expand(int(low.sum())), atol=close, rtol=0)
    assert torch.equal(coarse.covariance, coarse.covariance.T)
    assert float(after.min()) > 0 or floor < 0.1


def test_at_the_coarsest_nothing_but_the_size_of_the_spread_is_left() -> None:
    rows, labels = drawn(200, 0)
    coarse = coarsened(ClassStatistics.of(rows, labels, 2), inf).covariance
    torch.testing.assert_close(coarse, coarse[0, 0] * torch.eye(WIDTH), atol=1e-5, rtol=0)
    assert directions_kept(coarse) == 0


@given(st.permutations(range(40)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_images_changes_no_byte(order: list[int]) -> None:
    rows, labels = drawn(40, 3)
    one, other = (
        coarsened(ClassStatistics.of(rows[at], labels[at], 2), 0.1) for at in (torch.arange(40), torch.tensor(order))
    )
    assert one.to_bytes() == other.to_bytes()


@given(st.integers(1, 39))
@settings(max_examples=20, deadline=None)
def test_the_sums_of_two_halves_add_up_exactly(cut: int) -> None:
    rows, labels = drawn(40, 4)
    whole, first, second = (
        ClassStatistics.of(rows[part], labels[part], 2) for part in (slice(None), slice(cut), slice(cut, None))
    )
    assert torch.equal(whole.counts, first.counts + second.counts)
    torch.testing.assert_close(whole.sums.double(), first.sums.double() + second.sums.double(), atol=1e-5, rtol=1e-6)
    # the scatter about the common means is that about the own ones, and what the means differ by
    shift = torch.stack([first.means, second.means]) - whole.means
    counts = torch.stack([first.counts, second.counts]).double()
    between = torch.einsum("sc,scd,sce->de", counts, shift, shift)
    scatter = first.images * first.covariance.double() + second.images * second.covariance.double() + between
    torch.testing.assert_close(whole.images * whole.covariance.double(), scatter, atol=1e-3, rtol=1e-4)


def test_completed_takes_only_what_is_missing() -> None:
    rows, labels = drawn(40, 5)
    whole = ClassStatistics.of(rows, labels, 2)
    lacking = replace(whole, counts=torch.tensor([20, 0]), sums=whole.sums * torch.tensor([[1.0], [0.0]]))
    learned = ClassStatistics.of(rows[:8] + 1, labels[:8], 2)
    filled = lacking.completed(learned)
    assert filled.counts.tolist() == [20, 4]
    torch.testing.assert_close(filled.means[0], whole.means[0])
    torch.testing.assert_close(filled.means[1], learned.means[1])
    assert filled.covariance is lacking.covariance


@pytest.mark.parametrize("floor", FLOORS)
def test_threads_change_no_byte(floor: float) -> None:
    rows, labels = drawn(300, 6)
    before, found = torch.get_num_threads(), set()
    for count in (1, 2):
        torch.set_num_threads(count)
        found.add(coarsened(ClassStatistics.of(rows, labels, 2), floor).to_bytes())
    torch.set_num_threads(before)
    assert len(found) == 1
