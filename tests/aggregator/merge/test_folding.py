import itertools
from pathlib import Path

import pytest

from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from tests.aggregator.forges import MODES, Mode, branches, fold_all, fold_in_memory, open_main, settings_of
from tests.aggregator.main_branch.test_main_branch import overflowing


@pytest.mark.parametrize("mode", MODES, ids="-".join)
def test_folding_in_memory_gives_what_a_forge_gives(tmp_path: Path, tiny_base: BaseModule, mode: Mode) -> None:
    settings = settings_of(*mode)
    # one cache for all orders, as a simulation has it
    cache = ProbabilityCache(tiny_base, None)
    for number, order in enumerate(itertools.islice(itertools.permutations(branches(tiny_base)), 0, 6, 5)):
        main = open_main(tmp_path / str(number), tiny_base, settings)
        fold_all(main, order)
        rounds = fold_in_memory(tiny_base, settings, order, cache)
        # what the item says itself, a commit does not repeat
        said = [r.item.shares or commit.coefficients for r, commit in zip(rounds, main.log(), strict=True)]
        assert [r.coefficients for r in rounds] == said
        assert [r.metrics for r in rounds] == [commit.metrics for commit in main.log()]
        assert [r.item.digest for r in rounds] == [commit.item for commit in main.log()]


def test_a_plugin_whose_outputs_overflow_is_refused_before_any_search(tiny_base: BaseModule) -> None:
    settings = settings_of("fusion", "layer", "sequential")
    with pytest.raises(InvalidBranch, match="not finite"):
        fold_in_memory(tiny_base, settings, [*branches(tiny_base, 1), overflowing(tiny_base)])
