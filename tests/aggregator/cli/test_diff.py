"""diff: two commits side by side, down to their weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from medforge.aggregator.cli.diff_lines import weight_lines
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.model_difference import NetworkDifference, class_differences, weight_differences
from medforge.aggregator.upgrade.upgrading import upgrade
from medforge.base_module import BaseModule
from medforge.errors import InvalidInput
from medforge.forge_item import Routed
from medforge.weight_difference import Distance
from tests.aggregator.cli.test_verbs import RECORDED, ROUTED, run
from tests.aggregator.serving import serving


def told(*words: object) -> Any:
    return json.loads(run("diff", *words, "--json"))


def test_two_commits_differ_in_members_tasks_scores_and_weights(eventful: Path, tiny_base: BaseModule) -> None:
    found = told("before-south", "4", "--forge", eventful)
    assert (found["from"]["number"], found["to"]["number"]) == (1, 4)
    assert found["tasks"] == {"came": ["colon"], "left": []}
    assert {key: [one["number"] for one in of] for key, of in found["members"].items()} == {
        "came": [2, 3, 4],
        "left": [1],
    }
    assert (found["metrics"]["colon"]["before"], set(found["metrics"]["lung"]["before"])) == (None, {"loss", "acc"})
    assert found["weights"]["colon"] == {"state": "came"}
    forge = Forge.open(eventful)
    first, fourth = (forge.load_item(forge.ledger.commits()[place][1]) for place in (0, 3))
    forge.close()
    assert isinstance(first, Routed)
    assert isinstance(fourth, Routed)
    was = first.tasks[0].expert.weight_change(tiny_base)
    now = next(task for task in fourth.tasks if task.card.name == "lung").expert.weight_change(tiny_base)
    lung = found["weights"]["lung"]
    assert lung["sites"].keys() == was.keys()
    for site, relative in lung["sites"].items():
        weight = tiny_base.weight(site).float()
        assert relative == pytest.approx(
            ((now[site] - was[site]).norm() / (weight + was[site]).norm()).item(), rel=1e-4
        )
    back = told("4", "before-south", "--forge", eventful)
    assert back["weights"]["colon"] == {"state": "left"}
    assert back["tasks"] == {"came": [], "left": ["colon"]}


def test_what_stayed_is_not_said_to_have_changed(eventful: Path) -> None:
    same = run("diff", "v1.0", "head", "--forge", eventful)
    assert "unchanged: lung" in same
    assert same.count("the same") == 2
    bare = told("before-south", "--no-weights", "--forge", eventful)
    assert (bare["weights"], bare["classes"], bare["weights_missing"]) == (None, None, None)
    assert "weights" not in run("diff", "before-south", "--no-weights", "--forge", eventful)


def test_over_an_address_the_base_is_named_where_it_is_a_file(
    eventful: Path, tmp_path: Path, tiny_base: BaseModule, tiny_spec: str
) -> None:
    shutil.copytree(eventful, tmp_path / "forge")
    with serving(tmp_path / "forge", tiny_base, settings=ROUTED) as (_, at):
        with pytest.raises(InvalidInput, match="a file that is not named by where it lies; give it with --base"):
            run("diff", "1", "--at", at)
        with pytest.raises(InvalidInput, match="is another base module than the forge's .*; give its own with --base"):
            run("diff", "1", "--at", at, "--base", "medforge-tiny")
        there = told("1", "--at", at, "--base", tiny_spec)
    here = told("1", "--forge", eventful)
    assert there["weights"] == here["weights"]
    assert there["metrics"] == here["metrics"]


def test_a_mixture_is_compared_branch_by_branch_and_an_erased_item_not_at_all(tmp_path: Path) -> None:
    shutil.copytree(RECORDED, tmp_path / "forge")
    found = told("1", "3", "--forge", tmp_path / "forge")
    assert sorted(one["state"] for one in found["weights"].values()) == ["came", "came", "unchanged"]
    upgrade(tmp_path / "forge")
    forge = Forge.open(tmp_path / "forge")
    forge.ledger.mark_erased(2)
    forge.close()
    said = " ".join(run("diff", "1", "3", "--forge", tmp_path / "forge").split())
    assert "was made with arrival 2, which was erased when it was withdrawn" in said
    assert "+ arrival 2 centre-lung: tissue-lung" in said
    assert "erased" in told("1", "3", "--forge", tmp_path / "forge")["weights_missing"]


def test_nothing_against_something_is_all_new(tiny_base: BaseModule, eventful: Path) -> None:
    forge = Forge.open(eventful)
    item = forge.load_item(forge.ledger.commits()[2][1])
    forge.close()
    assert {one.state for one in weight_differences(tiny_base, None, item).values()} == {"came"}
    assert {one.state for one in weight_differences(tiny_base, item, None).values()} == {"left"}
    assert weight_differences(tiny_base, None, None) == {}
    assert class_differences(None, item) == class_differences(item, item) == {}


def test_columns_of_many_tasks_are_divided_to_fit() -> None:
    sites = {f"trunk.resblocks.{block}.attn.{part}": Distance(block + 1.0, 100.0) for block in (0, 1) for part in "qv"}
    networks = {f"task {number:02d}": NetworkDifference("changed", sites) for number in range(12)}
    lines = list(weight_lines(networks, 60))
    assert max(map(len, lines)) <= 60
    assert sum(line.startswith("layer") for line in lines) == 3
    assert [line.split()[1:] for line in lines if line.startswith("resblocks.1")] == [["2.00%"] * 4] * 3
    assert sum(line.startswith("all") for line in lines) == 3
