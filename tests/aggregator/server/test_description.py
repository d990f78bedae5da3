"""What a forge says of itself is what it would say if it were asked for the first time, whatever came before."""

from pathlib import Path

from medforge.aggregator.forge.tagging import tag_commit
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.aggregator.server.description import Description
from medforge.aggregator.server.peer_clocks import PeerClocks
from medforge.aggregator.server.review_desk import ReviewDesk
from medforge.base_module import BaseModule
from medforge.proto import forge_pb2 as pb
from medforge.proto.signed_review import SignedReview
from tests.aggregator.forges import open_main
from tests.aggregator.main_branch.reviewing.making import review
from tests.aggregator.serving import FAST
from tests.making import make_branch


def without_clock(reply: pb.DescribeReply) -> pb.DescribeReply:
    reply.time = ""
    return reply


def test_whatever_happens_it_is_what_is_so(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path / "forge", tiny_base, FAST)
    forge, clocks = main.forge, PeerClocks()
    description = Description(forge, ReviewDesk(forge), clocks)
    seen = []

    def look() -> pb.DescribeReply:
        said = [without_clock(description.reply()) for _ in range(2)]
        fresh = without_clock(Description(forge, ReviewDesk(forge), clocks).reply())
        assert said == [fresh, fresh]
        seen.append(fresh)
        return fresh

    assert look().arrivals == 0
    for number in range(3):
        forge.admit(make_branch(tiny_base, number, task=f"task {number}", contributor=f"centre {number}"), tiny_base)
        assert look().arrivals == number + 1
    for number in range(3):
        main.fold(number + 1)
        assert len(look().tasks) == look().commits == number + 1
    tag_commit(forge, "first", None)
    assert [tag.name for tag in look().tags] == ["first"]
    forge.ledger.change(2, State.WITHDRAWN, erase=True)
    look()
    main.settle()
    assert look().head != seen[-3].head
    forge.ledger.enter("forge", "something else", {})
    forge.admit(make_branch(tiny_base, 9, task="task 9", contributor="centre 9"), tiny_base)
    assert look().arrivals == 4
    assert not look().reviewed
    ReviewTable(forge.ledger).add(SignedReview(review=review("ann", look().head, task="task 1")))
    assert look().reviewed
    forge.close()
