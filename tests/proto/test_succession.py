"""The chain of a forge's keys, as hostile forges would spell it."""

import pytest

from medforge.proto.errors import NotAllowed
from medforge.proto.signing import new_key, public_bytes
from medforge.proto.succession import KeySuccession, follow

KEYS = [new_key() for _ in range(4)]
HEX = [public_bytes(key).hex() for key in KEYS]
FORGE, SINCE = "forge one", "2026-01-01T00:00:00Z"


def link(old: int, new: int, forge: str = FORGE) -> KeySuccession:
    return KeySuccession.issue(KEYS[old], forge, HEX[new], SINCE)


def test_every_key_leads_to_the_newest_whatever_the_order() -> None:
    chain = (link(1, 2), link(0, 1), link(2, 3))
    assert [one.successor for one in follow(chain, FORGE, HEX[0])] == HEX[1:]
    assert [one.successor for one in follow(chain, FORGE, HEX[2])] == HEX[3:]
    assert follow(chain, FORGE, HEX[3]) == ()
    assert follow((), FORGE, HEX[0]) == ()


@pytest.mark.parametrize(
    ("chain", "sentence"),
    [
        ([link(0, 1), link(0, 2)], "two successors of one key"),
        ([link(0, 1), link(1, 0)], "goes in a circle"),
        ([link(0, 1, "another")], "is another forge's"),
        ([link(0, 1).model_copy(update={"successor": HEX[2]})], "did not sign that"),
        ([link(0, 1).model_copy(update={"since": "2020"})], "did not sign that"),
        ([link(2, 1).model_copy(update={"key": HEX[0]})], "did not sign that"),
    ],
)
def test_a_chain_that_its_keys_did_not_sign_is_refused(chain: list[KeySuccession], sentence: str) -> None:
    with pytest.raises(NotAllowed, match=sentence):
        follow(chain, FORGE, HEX[0])
