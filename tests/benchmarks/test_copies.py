"""What `benchmarks.copies` calls a copy is one: noise has the norm that it says, and only what is said is changed."""

import json
from pathlib import Path

import pytest

from benchmarks.copies import Pair, main, mean_of, plugin_copies, summary
from medforge.aggregator.main_branch.origin.weights import products, weight_likeness
from medforge.base_module import BaseModule
from tests.making import make_plugin


def test_copies_are_as_far_from_their_original_as_they_say(tiny_base: BaseModule) -> None:
    plugin, stranger = make_plugin(tiny_base, 1, rank=16), make_plugin(tiny_base, 2, rank=16)
    found = {
        kind: weight_likeness(products((copy, plugin), tiny_base), 0.98, 0.999)
        for kind, copy in plugin_copies(plugin, stranger, tiny_base, 0)
    }
    for ratio in (0.1, 0.5, 1.0):
        assert found[f"noise {ratio:g}"].cosine == pytest.approx((1 + ratio**2) ** -0.5, abs=0.03)
    assert found["re-factored"] == pytest.approx((1, 1, 1), abs=1e-3)
    assert found["times 0.5"] == pytest.approx((1, 1, 0.5), abs=1e-4)
    assert found["rank 12 of 16"].cosine > found["rank 4 of 16"].cosine > found["rank 1 of 16"].cosine
    whole = products((plugin, mean_of([plugin, plugin], tiny_base)), tiny_base)
    assert weight_likeness(whole, 0.98, 0.999).share == 1


def test_a_summary_counts_and_a_mistake_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [Pair("noise", 0.1, 0.2, None), Pair("noise", 0.5, 0.4, None), Pair("images", None, None, 1.0)]
    found = summary(pairs, lambda pair: (pair.weights or 0) > 0.2)
    assert (found["noise"]["pairs"], found["noise"]["held"], found["noise"]["cosine mean"]) == (2, 1, 0.3)
    assert json.loads(json.dumps(found))["images"]["weights most"] is None
    assert main(["--out", str(tmp_path), "--policy", "origin.charm=1"]) == 2
    assert "origin.charm" in capsys.readouterr().err
