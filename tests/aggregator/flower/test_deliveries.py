from pathlib import Path

from flwr.app import Error, Message, RecordDict

from medforge.aggregator.flower.deliveries import Deliveries
from medforge.base_module import BaseModule
from medforge.proto.flower import busy_record, idle_record, receipt_to_record
from medforge.proto.receipt import Receipt
from tests.aggregator.flower.test_strategy import GATED, fails, says_nothing
from tests.aggregator.forges import branches, fold_all, open_main, settings_of
from tests.aggregator.grids import Answer, MemoryGrid, Node


def sends(receipt: Receipt) -> Node:
    def answer(invitation: Message) -> Answer:
        return receipt_to_record(receipt)

    return Node(answer)


def test_what_nodes_say_they_delivered_is_believed_where_the_ledger_has_it(
    tmp_path: Path, tiny_base: BaseModule
) -> None:
    main = open_main(tmp_path / "here", tiny_base, settings_of(*GATED))
    one, two = branches(tiny_base, 2)
    fold_all(main, [one])
    forge = main.forge
    good = forge.receipt(forge.ledger.arrivals()[0])
    elsewhere = Receipt.issue(forge.key, "another forge", 1, one.digest, good.accepted_at)
    invented = Receipt.issue(forge.key, forge.settings.forge, 1, two.digest, good.accepted_at)
    nodes = {1: sends(elsewhere), 2: sends(invented), 3: Node(lambda _: RecordDict()), 4: Node(fails)}
    nodes |= {5: Node(lambda _: idle_record()), 6: Node(says_nothing, leaves=3), 7: sends(good)}
    deliveries = Deliveries(forge, MemoryGrid(nodes), poll=0.001)
    result = deliveries.run(expected=2, patience=0.05)
    assert result.nodes == {1: 7}
    assert [arrival.branch for arrival in deliveries.arrivals()] == [one.digest]
    reasons = {failure.node: failure.reason for failure in result.failures}
    assert sorted(reasons) == [1, 2, 3, 4]
    assert "is not of the forge" in reasons[1]
    assert "is not of the forge" in reasons[2]
    assert "no receipt" in reasons[3]
    assert "the scanner's disk is full" in reasons[4]
    assert result.waiting == [6]
    assert not result.complete


def test_a_run_waits_until_the_forge_has_decided(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path / "here", tiny_base, settings_of(*GATED))
    (one,) = branches(tiny_base, 1)
    arrival = main.forge.admit(one, tiny_base)
    grid = MemoryGrid({7: sends(main.forge.receipt(arrival))})
    waited = Deliveries(main.forge, grid, poll=0.001).run(expected=1, patience=0.05)
    assert (waited.nodes, waited.complete) == ({1: 7}, False)
    main.fold(arrival.number)
    grid = MemoryGrid({7: sends(main.forge.receipt(arrival))})
    assert Deliveries(main.forge, grid, poll=0.001).run(expected=1, patience=0.05).complete


def test_a_node_that_comes_back_is_asked_again_and_one_at_work_is_left_alone(
    tmp_path: Path, tiny_base: BaseModule
) -> None:
    main = open_main(tmp_path / "here", tiny_base, settings_of(*GATED))
    fold_all(main, branches(tiny_base, 1))
    good = receipt_to_record(main.forge.receipt(main.forge.ledger.arrivals()[0]))
    told = [Error(code=5, reason="the node is gone"), busy_record(), good]
    grid = MemoryGrid({1: Node(lambda _: told.pop(0), leaves=3, returns=6)})
    result = Deliveries(main.forge, grid, poll=0.001, again=0.02).run(expected=1, patience=5)
    assert (result.nodes, result.failures, result.waiting) == ({1: 1}, [], [])
    assert len(grid.pushed) == 3
