from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import InvalidBranch
from medforge.plugin import Factors, Plugin
from tests.aggregator.forges import branches, fold_all, open_main, settings_of
from tests.making import make_branch, make_distilled


def arrived(branch: Branch, number: int = 1) -> ArrivedBranch:
    return ArrivedBranch.of(number, branch)


class Unreadable:
    """The parts of a branch about which everything is cached."""

    def plugin(self) -> Plugin:
        raise AssertionError("the plugin was read")

    def labels(self) -> Tensor:
        raise AssertionError("the labels were read")

    def images(self) -> Tensor:
        raise AssertionError("the images were read")


def test_digests_known_from_the_manifest_are_those_of_the_content(tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base)
    assert arrived(branch).plugin_digest == branch.plugin.digest
    assert arrived(branch).distilled_digest == branch.distilled.digest


def test_probabilities_are_those_of_the_plugin_on_the_other_branchs_images(tiny_base: BaseModule) -> None:
    one, two = branches(tiny_base, 2)
    cached = ProbabilityCache(tiny_base, None).probabilities(arrived(one), arrived(two))
    embeddings = tiny_base.embed(two.distilled.images, one.plugin.deltas(tiny_base))
    expected = tiny_base.logits(embeddings, two.distilled.prompts).softmax(1)
    torch.testing.assert_close(cached, expected)
    assert not cached.is_inference()


@pytest.mark.parametrize("coefficients", ["sequential", "joint"])
def test_an_arrival_costs_n_times_the_new_images_plus_the_old_ones(
    tmp_path: Path, tiny_base: BaseModule, coefficients: str
) -> None:
    main = open_main(tmp_path, tiny_base, settings_of("mixture", "output", coefficients))
    old = 0
    for number, branch in enumerate(branches(tiny_base, 4), start=1):
        before = main.probabilities.image_forwards
        fold_all(main, [branch])
        assert main.probabilities.image_forwards - before == number * len(branch.distilled) + old
        old += len(branch.distilled)


def test_a_gated_arrival_costs_no_more_and_one_base_pass_over_the_new_images(
    tmp_path: Path, tiny_base: BaseModule
) -> None:
    main = open_main(tmp_path, tiny_base, settings_of("mixture", "output", "gated"))
    old = 0
    for number, branch in enumerate(branches(tiny_base, 4), start=1):
        before, base_before = main.probabilities.image_forwards, main.probabilities.base_forwards
        fold_all(main, [branch])
        with_base = main.probabilities.base_forwards - base_before
        assert with_base == len(branch.distilled)
        assert main.probabilities.image_forwards - before - with_base <= number * len(branch.distilled) + old
        old += len(branch.distilled)


@settings(deadline=None, max_examples=20)
@given(questions=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=12))
def test_each_plugin_sees_each_image_once_whatever_is_asked(
    questions: list[tuple[int, int]], tiny_base: BaseModule
) -> None:
    cache = ProbabilityCache(tiny_base, None)
    all_arrived = [arrived(branch) for branch in branches(tiny_base)]
    for of, on in questions:
        cache.probabilities(all_arrived[of], all_arrived[on])
    assert cache.image_forwards == 4 * len(set(questions))


def test_what_was_computed_is_kept_across_restarts(tmp_path: Path, tiny_base: BaseModule) -> None:
    one, two = branches(tiny_base, 2)
    first = ProbabilityCache(tiny_base, tmp_path)
    kept = first.probabilities(arrived(one), arrived(two))
    embeddings = first.embeddings(arrived(one))
    again = ProbabilityCache(tiny_base, tmp_path)
    # the branches are not even read
    unread = [ArrivedBranch(n, b.manifest, Unreadable()) for n, b in enumerate((one, two))]
    assert torch.equal(again.probabilities(unread[0], unread[1]), kept)
    assert torch.equal(again.embeddings(unread[0]), embeddings)
    assert again.image_forwards == 0


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def alter(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("damage", [cut, alter, lambda data: b"", lambda data: b"not a tensor file at all"])
def test_a_damaged_file_is_ignored_and_computed_again(tmp_path: Path, tiny_base: BaseModule, damage) -> None:
    branch = make_branch(tiny_base)
    kept = ProbabilityCache(tiny_base, tmp_path).probabilities(arrived(branch), arrived(branch))
    (file,) = tmp_path.rglob("*.safetensors")
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    again = ProbabilityCache(tiny_base, tmp_path)
    assert torch.equal(again.probabilities(arrived(branch), arrived(branch)), kept)
    assert again.image_forwards == len(branch.distilled)
    assert file.read_bytes() == whole


def test_a_file_in_anothers_place_is_ignored(tmp_path: Path, tiny_base: BaseModule) -> None:
    one, two = branches(tiny_base, 2)
    cache = ProbabilityCache(tiny_base, tmp_path)
    kept = cache.probabilities(arrived(one), arrived(one))
    (first,) = tmp_path.rglob("*.safetensors")
    cache.probabilities(arrived(two), arrived(two))
    (second,) = set(tmp_path.rglob("*.safetensors")) - {first}
    second.replace(first)
    again = ProbabilityCache(tiny_base, tmp_path)
    assert torch.equal(again.probabilities(arrived(one), arrived(one)), kept)


def test_a_plugin_whose_outputs_overflow_is_named(tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base)
    huge = Plugin(
        branch.plugin.settings,
        branch.plugin.base_fingerprint,
        {s: Factors(down=p.down * 1e30, up=p.up * 1e30) for s, p in branch.plugin.factors.items()},
    )
    wild = Branch.build(
        huge,
        make_distilled(tiny_base),
        contributor="north clinic",
        task="lung",
        base=tiny_base,
        training_images=1,
        recipe="test",
        seed=0,
        validation={},
    )
    with pytest.raises(InvalidBranch, match=r"\(north clinic\) gives outputs that are not finite"):
        ProbabilityCache(tiny_base, None).probabilities(arrived(wild), arrived(branch))
