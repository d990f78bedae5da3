"""What a branch adds to its task's sums, where its site sends statistics of some of its classes only."""

import torch

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.aggregator.merge.task_sums import TaskSums, terms_of
from medforge.base_module import BaseModule
from medforge.class_statistics import ClassStatistics
from medforge.site_facts import SiteFacts
from tests.making import make_branch


def test_a_class_without_statistics_has_the_mean_of_its_distilled_images(tiny_base: BaseModule) -> None:
    rows = 0.1 * torch.randn(7, tiny_base.embed_dim, generator=torch.Generator().manual_seed(0))
    sent = ClassStatistics.of(rows, torch.zeros(7, dtype=torch.int64), 2)
    branch = make_branch(tiny_base).with_facts(SiteFacts(class_counts=(7, 3), statistics=sent), tiny_base)
    arrived = ArrivedBranch.of(1, branch)
    spread = TaskSums((arrived,), terms_of(arrived, tiny_base, ProbabilityCache(tiny_base, None), False)).spread
    distilled = tiny_base.embed_all(branch.distilled.images, exactly=True)
    torch.testing.assert_close(spread.means[0], rows.mean(dim=0), atol=1e-5, rtol=1e-5)
    expected = distilled[branch.distilled.labels == 1].mean(dim=0).float()
    torch.testing.assert_close(spread.means[1], expected, atol=1e-4, rtol=1e-4)
    assert bool((spread.weights > 0).all())
