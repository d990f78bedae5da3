from datetime import UTC, datetime

from medforge.aggregator.ledger.invitations import invitations
from medforge.aggregator.ledger.journal import INVITED, MAINTAINER
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import Contributor


def test_the_newest_invitation_says_when_a_kit_ends_and_an_older_one_does_not_know() -> None:
    ledger = Ledger("sqlite://")

    def invite(name: str, expires: str | None) -> None:
        ledger.invite(Contributor(name, b"k" * 32, "c" * 64, "2026-01-01T00:00:00Z"), None, expires)

    invite("north", "2027-01-01T00:00:00Z")
    invite("north", "2028-01-01T00:00:00Z")
    invite("south", None)
    ledger.enter(MAINTAINER, INVITED, {"certificate": "of nobody"})
    ledger.enter(MAINTAINER, INVITED, {"contributor": "south", "expires": "soon"})
    found = invitations(ledger)
    assert {name: one.expires for name, one in found.items()} == {
        "north": datetime(2028, 1, 1, tzinfo=UTC),
        "south": None,
    }
