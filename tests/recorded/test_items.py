"""The recorded branches give the recorded forge items, with one thread and with two."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from medforge.aggregator.main_branch.comparison import COEFFICIENTS
from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.processor import processor_kind
from tests.recorded.items import HERE, RECORD, folded, recorded_branches, ways

WAYS = ways()
RECORDED: dict[str, Any] = json.loads(RECORD.read_text())
BEFORE: dict[str, Any] = json.loads((HERE / "items-0.1.0.json").read_text())


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> list[Branch]:
    return recorded_branches(tmp_path_factory.mktemp("recorded") / "forge")


@pytest.fixture(scope="module", params=(1, 2))
def base(request: pytest.FixtureRequest) -> Iterator[BaseModule]:
    """Loaded anew, so that prompts are encoded with this number of threads too."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield load_base("medforge-tiny", "cpu")
    assert torch.get_num_threads() == request.param, "a fold leaves the number of threads as it was"
    torch.set_num_threads(before)


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_the_recorded_branches_give_the_recorded_items(
    base: BaseModule, branches: list[Branch], way: tuple[str, str, str, str]
) -> None:
    found, expected = folded(base, branches, way), RECORDED["items"]["-".join(way)]
    if processor_kind() == RECORDED["processor"]:
        assert found == expected
        return
    # on another kind of processor a last bit may differ, and what it means is bounded
    assert found["coefficients"] == pytest.approx(expected["coefficients"], abs=COEFFICIENTS)
    for task, score in expected["metrics"].items():
        assert found["metrics"][task] == pytest.approx(score, abs=COEFFICIENTS)


def test_methods_without_a_search_give_the_items_of_0_1_0() -> None:
    now = RECORDED["items"]
    assert now.keys() == {"-".join(way) for way in WAYS}
    assert BEFORE.keys() < now.keys()
    without = [name for name in BEFORE if "uniform" in name]
    assert len(without) == 8
    assert [now[name]["item"] for name in without] == [BEFORE[name]["item"] for name in without]
