"""The recorded branches give the recorded forge items, with any number of threads."""

import json
from collections.abc import Iterator

import pytest
import torch

from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.processor import processor_kind
from tests.recorded.items import HERE, RECORD, folded, recorded_branches, ways

WAYS = ways()
THREADS = (1, 2, 3)


@pytest.fixture(scope="module")
def branches(tmp_path_factory: pytest.TempPathFactory) -> list[Branch]:
    return recorded_branches(tmp_path_factory.mktemp("recorded") / "forge")


@pytest.fixture(params=THREADS)
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
    record = json.loads(RECORD.read_text())
    found, expected = folded(base, branches, way), record["items"]["-".join(way)]
    if processor_kind() == record["processor"]:
        assert found == expected
        return
    # elsewhere a search may end at another point, but at none that is worse
    losses = [[score["loss"] for score in one["metrics"].values()] for one in (found, expected)]
    assert found["coefficients"].keys() == expected["coefficients"].keys()
    assert sum(losses[0]) / len(losses[0]) == pytest.approx(sum(losses[1]) / len(losses[1]), abs=0.1)


def test_methods_without_a_search_give_the_items_of_0_1_0() -> None:
    now, before = json.loads(RECORD.read_text())["items"], json.loads((HERE / "items-0.1.0.json").read_text())
    assert now.keys() == before.keys() == {"-".join(way) for way in WAYS}
    without = [name for name in now if "uniform" in name]
    assert len(without) == 8
    assert [now[name]["item"] for name in without] == [before[name]["item"] for name in without]
