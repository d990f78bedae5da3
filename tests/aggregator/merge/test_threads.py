"""The same branches give the same forge item with one thread, two and three, by every method."""

from collections.abc import Iterator

import pytest
import torch

from medforge.base import load_base
from medforge.branch import Branch
from tests.aggregator.forges import MODES, Mode, branches, fold_in_memory, settings_of

# the fewest evaluations that a search may have: threads show in the first one or in none
BUDGET = 4


@pytest.fixture(scope="module")
def arriving(tiny_spec: str) -> list[Branch]:
    # more images than one chunk holds
    return branches(load_base(tiny_spec, "cpu"), count=2, ipc=12)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("mode", MODES, ids="-".join)
def test_threads_do_not_count(tiny_spec: str, arriving: list[Branch], mode: Mode) -> None:
    settings = settings_of(*mode, budget=BUDGET)
    ends = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        # loaded anew, so that prompts are encoded with this number of threads too
        ends.append(fold_in_memory(load_base(tiny_spec, "cpu"), settings, arriving)[-1])
    assert len({end.item.digest for end in ends}) == 1
    assert all(end.coefficients == ends[0].coefficients and end.metrics == ends[0].metrics for end in ends)
