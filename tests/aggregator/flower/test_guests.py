from flwr.app import Error, Message, MessageType, RecordDict

from medforge.aggregator.flower.guests import Guests
from medforge.aggregator.flower.invitation import settled
from medforge.proto.flower import busy_record, idle_record
from tests.aggregator.grids import MemoryGrid


def test_who_is_new_is_invited_once() -> None:
    guests = Guests(again=0)
    assert guests.due([3, 1], 0.0) == [1, 3]
    # what could not be sent is due still
    guests.invited(1, 0.0)
    assert guests.due([3, 1], 1.0) == [3]
    guests.invited(3, 1.0)
    assert guests.due([1, 2, 3], 1e9) == [2]
    assert guests.owing == [1, 3]
    assert guests.somebody_works
    guests.replied(1, well=True)
    guests.replied(3, well=False)
    assert guests.due([1, 3], 2e9) == []
    assert guests.owing == []
    assert not guests.somebody_works


def test_who_was_away_is_asked_again_unless_all_is_in() -> None:
    guests = Guests(again=0)
    for node in guests.due([1, 2, 3], 0.0):
        guests.invited(node, 0.0)
    guests.replied(1, well=True)
    guests.replied(2, well=False)
    assert guests.due([], 1.0) == []
    assert guests.owing == [3]
    assert not guests.somebody_works
    assert guests.due([1, 2, 3], 2.0) == [2, 3]
    # an invitation that could not be sent is sent at the next look
    guests.invited(2, 2.0)
    assert guests.due([1, 2, 3], 3.0) == [3]


def test_who_owes_for_long_is_asked_again_at_longer_and_longer_intervals() -> None:
    guests, asked = Guests(again=10.0), []
    for now in range(200):
        for node in guests.due([7], float(now)):
            guests.invited(node, float(now))
            asked.append(now)
    assert asked == [0, 10, 30, 70, 150]


def test_a_reply_settles_all_that_its_node_was_asked_and_one_at_work_settles_nothing() -> None:
    grid = MemoryGrid({})
    grid.push_messages([Message(RecordDict(), node, MessageType.TRAIN) for node in (7, 7, 7, 8, 8, 9, 9)])
    pending = {message.metadata.message_id: message.metadata.dst_node_id for message in grid.pushed}
    gone = Error(code=5, reason="gone")
    said = [gone, busy_record(), idle_record(), None, busy_record(), gone, gone]
    replies = [Message(one, reply_to=message) for one, message in zip(said, grid.pushed, strict=True) if one]
    found = [(node, reply.has_content()) for node, reply in settled(pending, replies)]
    assert found == [(7, True), (9, False)]
    assert list(pending.values()) == [8]
