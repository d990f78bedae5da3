import pytest
import torch

from medforge.base_module import BaseModule
from medforge.weight_difference import Distance, distances, in_all
from tests.making import make_plugin


def test_it_is_the_norm_of_what_changed_over_that_of_what_was(tiny_base: BaseModule) -> None:
    before, after = (make_plugin(tiny_base, seed).deltas(tiny_base) for seed in (0, 1))
    found = distances(tiny_base, before, after)
    assert tuple(found) == tiny_base.sites
    for site, distance in found.items():
        was, now = (tiny_base.weight(site).float() + change[site] for change in (before, after))
        expected = torch.linalg.matrix_norm(now - was) / torch.linalg.matrix_norm(was)
        assert distance.relative == pytest.approx(expected.item(), rel=1e-4)
    flat = [
        torch.cat([(tiny_base.weight(s).float() + change[s]).flatten() for s in found]) for change in (before, after)
    ]
    expected = (flat[1] - flat[0]).norm() / flat[0].norm()
    assert in_all(found).relative == pytest.approx(expected.item(), rel=1e-4)


def test_no_change_at_a_site_is_the_bases_own_weight(tiny_base: BaseModule) -> None:
    change = make_plugin(tiny_base).deltas(tiny_base)
    found = distances(tiny_base, {}, change)
    site = tiny_base.sites[0]
    assert found[site].size == pytest.approx(tiny_base.weight(site).float().norm().item(), rel=1e-5)
    assert found[site].moved == pytest.approx(change[site].norm().item(), rel=1e-5)
    assert {one.moved for one in distances(tiny_base, change, change).values()} == {0.0}
    assert in_all({}).relative == Distance(0.0, 0.0).relative == 0.0
