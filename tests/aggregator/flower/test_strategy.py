from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict

from medforge.aggregator.flower.strategy import (
    FusionStrategy,
    MedForgeStrategy,
    MixtureStrategy,
    RoutedStrategy,
    WeightChangeStrategy,
    strategy_for,
)
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import InvalidBranch, InvalidInput
from medforge.forge_item import FusedPlugin, Mixture, Routed
from medforge.proto.flower import branch_to_record, busy_record
from tests.aggregator.forges import MODES, branches, fold_all, open_main, settings_of
from tests.aggregator.grids import Answer, MemoryGrid, Node, reply_with
from tests.aggregator.main_branch.test_main_branch import overflowing
from tests.making import make_branch

GATED = ("mixture", "output", "gated")
FUSION = ("fusion", "layer", "sequential")


def sends(branch: Branch) -> Callable[[Message], Answer]:
    return lambda invitation: branch_to_record(branch)


def fails(invitation: Message) -> Answer:
    return Error(code=2, reason="the scanner's disk is full")


def says_nothing(invitation: Message) -> Answer:
    return None


def strategy(directory: Path, base: BaseModule, mode: tuple[str, str, str] = GATED) -> MedForgeStrategy:
    return strategy_for(open_main(directory, base, settings_of(*mode)), poll=0.001)


def head(main: MainBranch) -> str:
    commit = main.head()
    assert commit is not None
    return commit.digest


def test_the_strategy_follows_from_the_forges_method(tmp_path: Path, tiny_base: BaseModule) -> None:
    assert isinstance(strategy(tmp_path / "m", tiny_base, GATED), MixtureStrategy)
    fusion = strategy(tmp_path / "f", tiny_base, FUSION)
    assert isinstance(fusion, FusionStrategy)
    with pytest.raises(InvalidInput, match=r"make a mixture, but the forge .* folds by fusion, which makes a plugin"):
        MixtureStrategy(fusion.main)


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("factor-average", FusionStrategy),
        ("lorahub", FusionStrategy),
        ("med-lego", FusionStrategy),
        ("model-soup", MixtureStrategy),
        ("ties", WeightChangeStrategy),
        ("routed", RoutedStrategy),
    ],
)
def test_the_strategy_follows_from_the_item_that_a_method_makes(
    tmp_path: Path, tiny_base: BaseModule, method: str, kind: type[MedForgeStrategy]
) -> None:
    made = strategy_for(open_main(tmp_path, tiny_base, choose_settings(method=method)))
    assert isinstance(made, kind)
    for number, branch in enumerate(branches(tiny_base, 2), start=1):
        arrays, _ = made.aggregate_train(number, [reply_with(branch)])
    assert arrays is not None
    assert ("coefficients" in arrays) == (kind is MixtureStrategy)
    if kind is RoutedStrategy:
        routed = made.main.checkout()
        assert isinstance(routed, Routed)
        assert set(arrays) == {f"task {n}/{part}" for n in (0, 1) for part in ("means", "weights", "covariance")}
        assert arrays["task 1/means"].numpy().tolist() == routed.tasks[1].spread.means.tolist()
    if kind is WeightChangeStrategy:
        item = made.main.checkout()
        assert {site: array.numpy().tolist() for site, array in arrays.items()} == {
            site: change.tolist() for site, change in item.weight_change(tiny_base).items()
        }
        for other in (FusionStrategy, MixtureStrategy):
            with pytest.raises(InvalidInput, match="use strategy_for"):
                other.arrays_of(made, item)
        with pytest.raises(InvalidInput, match="is no weight change; use strategy_for"):
            made.arrays_of(FusedPlugin(branches(tiny_base, 1)[0].plugin))


@pytest.mark.parametrize("mode", MODES, ids="-".join)
def test_every_door_gives_the_same_head(tmp_path: Path, tiny_base: BaseModule, mode: tuple[str, str, str]) -> None:
    """Folding by number, folding stored branches as messages, and a Flower run: one chain."""
    arriving = branches(tiny_base)
    direct = open_main(tmp_path / "direct", tiny_base, settings_of(*mode))
    fold_all(direct, arriving)
    stored = strategy(tmp_path / "stored", tiny_base, mode)
    for branch in arriving:
        number = stored.main.forge.admit(branch, tiny_base).number
        stored.aggregate_train(number, [reply_with(stored.main.forge.load_branch(number))])
    flower = strategy(tmp_path / "flower", tiny_base, mode)
    grid = MemoryGrid({n: Node(sends(b), replies=n) for n, b in enumerate(arriving, start=1)})
    assert flower.start(grid, num_rounds=3, timeout=5).complete
    assert head(direct) == head(stored.main) == head(flower.main)


def test_replies_are_folded_in_the_order_in_which_they_come(tmp_path: Path, tiny_base: BaseModule) -> None:
    one, two, three = branches(tiny_base)
    made = strategy(tmp_path, tiny_base)
    grid = MemoryGrid(
        {10: Node(sends(one), replies=9), 20: Node(sends(two), replies=2), 30: Node(sends(three), replies=5)}
    )
    result = made.start(grid, num_rounds=3, timeout=5)
    assert [c.branch for c in made.main.log()] == [two.digest, three.digest, one.digest]
    assert result.folded == {1: 20, 2: 30, 3: 10}
    assert result.complete
    assert result.failures == []
    assert result.waiting == []


def test_a_node_that_joins_late_is_invited_when_it_is_seen(tmp_path: Path, tiny_base: BaseModule) -> None:
    one, two = branches(tiny_base, 2)
    made = strategy(tmp_path, tiny_base)
    grid = MemoryGrid({1: Node(sends(one)), 2: Node(sends(two), joins=6, replies=8)})
    assert made.start(grid, num_rounds=2, timeout=5).folded == {1: 1, 2: 2}
    first, second = grid.pushed
    assert (first.metadata.dst_node_id, second.metadata.dst_node_id) == (1, 2)
    invitation = second.content.config_records["invitation"]
    assert invitation["base"] == tiny_base.fingerprint
    assert invitation["head"] == made.main.log()[0].digest
    assert first.content.config_records["invitation"]["head"] == ""
    assert first.metadata.group_id == "1"
    assert second.metadata.group_id == "2"


def test_failures_do_not_stop_the_run_and_are_reported(tmp_path: Path, tiny_base: BaseModule) -> None:
    good, other = branches(tiny_base, 2)
    malformed = branch_to_record(other)
    del malformed["plugin"]
    made = strategy(tmp_path, tiny_base)
    grid = MemoryGrid(
        {
            1: Node(fails, replies=1),
            2: Node(lambda _: malformed, replies=2),
            3: Node(sends(overflowing(tiny_base)), replies=3),
            4: Node(lambda _: RecordDict(), replies=4),
            5: Node(sends(good), replies=5),
            6: Node(sends(other), replies=6),
        }
    )
    result = made.start(grid, num_rounds=2, timeout=5)
    assert result.complete
    assert sorted(result.folded.values()) == [5, 6]
    reasons = {failure.node: failure.reason for failure in result.failures}
    assert "the scanner's disk is full" in reasons[1]
    assert "no plugin record" in reasons[2]
    assert "times its norm" in reasons[3]
    assert "no manifest record" in reasons[4]
    assert {c.branch for c in made.main.log()} == {good.digest, other.digest}


def test_a_branch_on_another_base_is_refused(tmp_path: Path, tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base)
    foreign = branch.manifest.model_copy(update={"base": "f" * 64})
    made = strategy(tmp_path, tiny_base)
    with pytest.raises(InvalidBranch, match="this forge stands on"):
        made.aggregate_train(1, [reply_with(Branch(foreign, branch.plugin, branch.distilled))])
    assert made.main.head() is None


def test_a_run_ends_when_nothing_moves(tmp_path: Path, tiny_base: BaseModule) -> None:
    (one,) = branches(tiny_base, 1)
    made = strategy(tmp_path, tiny_base)
    grid = MemoryGrid({1: Node(sends(one)), 2: Node(says_nothing, leaves=4)})
    result = made.start(grid, num_rounds=2, timeout=0.05)
    assert not result.complete
    assert result.folded == {1: 1}
    assert result.waiting == [2]


def test_a_slow_node_that_stays_connected_is_waited_for(tmp_path: Path, tiny_base: BaseModule) -> None:
    (one,) = branches(tiny_base, 1)
    made = strategy(tmp_path, tiny_base)
    # 400 looks take far longer than the patience of 10 ms
    grid = MemoryGrid({1: Node(sends(one), replies=400)})
    assert made.start(grid, num_rounds=1, timeout=0.01).complete
    assert grid.looks >= 400


def test_a_node_that_comes_back_after_being_gone_has_its_branch_taken(tmp_path: Path, tiny_base: BaseModule) -> None:
    one, two = branches(tiny_base, 2)
    told = [Error(code=5, reason="the node is gone"), branch_to_record(two)]
    made = strategy(tmp_path, tiny_base)
    # Flower itself replies for a node that is gone, once it has looked for it
    grid = MemoryGrid({1: Node(sends(one)), 2: Node(lambda _: told.pop(0), leaves=3, returns=6)})
    result = made.start(grid, num_rounds=2, timeout=5)
    assert result.folded == {1: 1, 2: 2}
    assert result.failures == []
    assert [message.metadata.dst_node_id for message in grid.pushed] == [1, 2, 2]


def test_a_node_that_was_started_anew_unseen_is_asked_again(tmp_path: Path, tiny_base: BaseModule) -> None:
    (one,) = branches(tiny_base, 1)
    asked: list[Message] = []

    def answer(invitation: Message) -> Answer:
        if invitation not in asked:
            asked.append(invitation)
        # the process that had the first is gone, and it left another at work, which ends before the third
        return None if invitation is asked[0] else busy_record() if invitation is asked[1] else branch_to_record(one)

    made = strategy_for(open_main(tmp_path, tiny_base, settings_of(*GATED)), poll=0.001, again=0.02)
    result = made.start(MemoryGrid({1: Node(answer)}), num_rounds=1, timeout=5)
    assert result.folded == {1: 1}
    assert result.failures == []
    assert result.waiting == []
    assert len(asked) == 3


def test_a_run_without_any_node_ends(tmp_path: Path, tiny_base: BaseModule) -> None:
    result = strategy(tmp_path, tiny_base).start(MemoryGrid({}), num_rounds=1, timeout=0.01)
    assert not result.complete
    assert result.folded == {}


def test_an_invitation_that_could_not_be_sent_is_sent_again(tmp_path: Path, tiny_base: BaseModule) -> None:
    (one,) = branches(tiny_base, 1)
    made = strategy(tmp_path, tiny_base)
    grid = MemoryGrid({1: Node(sends(one))}, refuse_pushes=3)
    assert made.start(grid, num_rounds=1, timeout=5).complete
    assert len(grid.pushed) == 1


def test_a_restarted_run_first_folds_what_was_accepted_and_gives_the_same_head(
    tmp_path: Path, tiny_base: BaseModule
) -> None:
    arriving = branches(tiny_base)
    undisturbed = open_main(tmp_path / "undisturbed", tiny_base, settings_of(*GATED))
    fold_all(undisturbed, arriving)
    stopped = open_main(tmp_path / "stopped", tiny_base, settings_of(*GATED))
    fold_all(stopped, arriving[:1])
    stopped.forge.admit(arriving[1], tiny_base)
    stopped.forge.close()
    made = strategy(tmp_path / "stopped", tiny_base)
    # node 1 sends again what the forge has had for long
    grid = MemoryGrid({1: Node(sends(arriving[0]), replies=1), 3: Node(sends(arriving[2]), replies=2)})
    result = made.start(grid, num_rounds=2, timeout=5)
    assert result.folded == {1: 1, 3: 3}
    assert head(made.main) == head(undisturbed)


def test_the_same_reply_twice_is_one_arrival(tmp_path: Path, tiny_base: BaseModule) -> None:
    made = strategy(tmp_path, tiny_base)
    message = reply_with(make_branch(tiny_base))
    first = made.aggregate_train(1, [message])
    again = made.aggregate_train(2, [message])
    assert len(made.main.log()) == 1
    assert first[1] is not None
    assert again[1] is not None
    assert dict(first[1]) == dict(again[1])


def test_a_round_takes_one_reply(tmp_path: Path, tiny_base: BaseModule) -> None:
    made = strategy(tmp_path, tiny_base)
    messages = [reply_with(branch) for branch in branches(tiny_base, 2)]
    for replies in ([], messages):
        with pytest.raises(InvalidInput, match=f"round 1 folds exactly one reply, not {len(replies)}"):
            made.aggregate_train(1, replies)


def test_metrics_carry_scores_and_coefficients(tmp_path: Path, tiny_base: BaseModule) -> None:
    made = strategy(tmp_path, tiny_base)
    arriving = branches(tiny_base, 2)
    for number, branch in enumerate(arriving, start=1):
        arrays, metrics = made.aggregate_train(number, [reply_with(branch)])
    assert metrics is not None
    commit = made.main.log()[-1]
    assert metrics["arrival"] == 2
    for branch in arriving:
        assert metrics[f"coefficient/{branch.digest}"] == commit.coefficients[branch.digest]
        assert metrics[f"loss/{branch.manifest.task}"] == commit.metrics[branch.manifest.task].loss
        assert metrics[f"acc/{branch.manifest.task}"] == commit.metrics[branch.manifest.task].acc
    item = made.main.checkout()
    assert isinstance(item, Mixture)
    assert arrays is not None
    np.testing.assert_allclose(arrays["coefficients"].numpy(), item.coefficients.numpy())
    assert arrays["prototypes"].numpy().shape == (4, tiny_base.embed_dim)


def test_fusion_gives_the_fused_plugin_as_arrays(tmp_path: Path, tiny_base: BaseModule) -> None:
    made = strategy(tmp_path, tiny_base, FUSION)
    arrays, _ = made.aggregate_train(1, [reply_with(make_branch(tiny_base))])
    item = made.main.checkout()
    assert isinstance(item, FusedPlugin)
    assert arrays is not None
    for site, factors in item.plugin.factors.items():
        name = f"base_model.model.{site}.lora_A.weight"
        np.testing.assert_array_equal(arrays[name].numpy(), factors.down.numpy())


def test_the_main_branch_can_be_evaluated_after_every_fold(tmp_path: Path, tiny_base: BaseModule) -> None:
    seen: list[int] = []

    def evaluate(arrival: int, arrays: ArrayRecord) -> MetricRecord:
        seen.append(arrival)
        return MetricRecord({"members": len(arrays["coefficients"].numpy())})

    made = strategy(tmp_path, tiny_base)
    grid = MemoryGrid({n: Node(sends(b), replies=n) for n, b in enumerate(branches(tiny_base, 2), start=1)})
    result = made.start(grid, num_rounds=2, timeout=5, evaluate_fn=evaluate)
    assert seen == [1, 2]
    assert [record["members"] for record in result.evaluate_metrics_serverapp.values()] == [1, 2]
    assert set(result.train_metrics_clientapp) == {1, 2}


def test_the_runs_own_settings_reach_the_nodes_and_nobody_is_asked_to_evaluate(
    tmp_path: Path, tiny_base: BaseModule
) -> None:
    made = strategy(tmp_path, tiny_base)
    grid = MemoryGrid({1: Node(sends(make_branch(tiny_base)))})
    made.start(grid, num_rounds=1, timeout=5, train_config=ConfigRecord({"recipe": "tiny"}))
    assert grid.pushed[0].content.config_records["invitation"]["recipe"] == "tiny"
    assert list(made.configure_evaluate(1, ArrayRecord(), ConfigRecord(), grid)) == []
    assert made.aggregate_evaluate(1, []) is None
