"""Refusals in the journal, and how little room any number of them takes."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.journal import FORGE
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.server.call_record import CallRecord
from medforge.aggregator.server.refusal_journal import OTHERS, REFUSED, REFUSED_AGAIN, Refusals
from medforge.base_module import BaseModule
from medforge.errors import MedForgeError
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed
from medforge.proto.remote import RemoteForge
from tests.aggregator.server.test_rate_limit import Clock
from tests.aggregator.serving import serving, upload
from tests.making import make_branch


def call(caller: str = "north", method: str = "Submit", kind: str = "InvalidBranch", **about: object) -> CallRecord:
    made = CallRecord(method, "ipv4:192.0.2.1:5", caller, about)
    made.kind, made.code, made.sentence = kind, "INVALID_ARGUMENT", "the rank is wrong; commit the branch again"
    return made


def told(ledger: Ledger) -> list[tuple[str, dict[str, object]]]:
    return [(entry.what, json.loads(entry.about)) for entry in ledger.journal()]


def test_the_first_of_each_kind_is_entered_whole_and_the_rest_are_counted() -> None:
    ledger, clock = Ledger("sqlite://"), Clock()
    refusals = Refusals(ledger, 60, clock=clock)
    for _ in range(1000):
        refusals.note(call(branch="b" * 64))
    refusals.note(call("south"))
    first = {
        "call": "Submit",
        "caller": "north",
        "kind": "InvalidBranch",
        "sentence": "the rank is wrong; commit the branch again",
        "branch": "b" * 64,
    }
    assert [(what, about["caller"]) for what, about in told(ledger)] == [(REFUSED, "north"), (REFUSED, "south")]
    assert told(ledger)[0] == (REFUSED, first)
    clock.now += 60
    refusals.note(call(branch="b" * 64))
    again = {"call": "Submit", "caller": "north", "kind": "InvalidBranch", "count": 999}
    assert told(ledger)[2:] == [(REFUSED_AGAIN, again), (REFUSED, first)]
    assert {entry.actor for entry in ledger.journal()} == {FORGE}


def test_what_was_counted_is_entered_at_the_end() -> None:
    ledger = Ledger("sqlite://")
    refusals = Refusals(ledger)
    for _ in range(3):
        refusals.note(call())
    refusals.flush()
    refusals.flush()
    assert [(what, about.get("count")) for what, about in told(ledger)] == [(REFUSED, None), (REFUSED_AGAIN, 2)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=300), st.floats(0, 20)), max_size=120))
def test_no_number_of_refusals_costs_more_than_its_bound(callers: list[tuple[str, float]]) -> None:
    ledger, clock = Ledger("sqlite://"), Clock()
    refusals, begin = Refusals(ledger, 60, keys=4, clock=clock), clock.now
    for caller, pause in callers:
        clock.now += pause
        refusals.note(call(caller, about="x" * 10_000))
    refusals.flush()
    periods = 1 + int((clock.now - begin) // 60)
    entries = told(ledger)
    assert len(entries) <= periods * (2 * 4 + 1)
    assert all(len(json.dumps(about)) < 2500 for _, about in entries)
    # and none goes uncounted
    assert sum(int(str(about.get("count", 1))) for _, about in entries) == len(callers)


def test_many_callers_share_one_count() -> None:
    ledger = Ledger("sqlite://")
    refusals = Refusals(ledger, keys=2)
    for number in range(50):
        refusals.note(call(str(number)))
    refusals.flush()
    assert told(ledger)[2:] == [(REFUSED_AGAIN, {"call": OTHERS, "caller": OTHERS, "kind": OTHERS, "count": 48})]


@pytest.mark.parametrize(
    ("method", "kind", "entered"),
    [
        ("Submit", "OverLimit", True),
        ("Withdraw", "NotAllowed", True),
        ("Describe", "NotAllowed", True),
        ("Upload", "NotKnown", True),
        ("Submit", "", False),
        ("Submit", "ForgeUnavailable", False),
        ("Submit", "ForgeFault", False),
        ("Submit", "TooFast", False),
        ("Upload", "UploadConflict", False),
        ("Status", "InvalidInput", False),
    ],
)
def test_only_decisions_are_entered(method: str, kind: str, entered: bool) -> None:
    ledger = Ledger("sqlite://")
    Refusals(ledger).note(call(method=method, kind=kind))
    assert len(ledger.journal()) == entered


def test_a_ledger_that_cannot_be_written_keeps_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger("sqlite://")
    refusals = Refusals(ledger)
    refusals.note(call())
    refusals.note(call())

    def full(*_: object) -> None:
        raise OperationalError("insert", {}, Exception("database or disk is full"))

    with monkeypatch.context() as broken:
        broken.setattr(ledger, "enter", full)
        refusals.flush()
    refusals.flush()
    assert [what for what, _ in told(ledger)] == [REFUSED, REFUSED_AGAIN]


def test_over_the_wire(tmp_path: Path, tiny_base: BaseModule) -> None:
    """A stranger's branch, a broken one, and a revoked caller who tries a hundred times."""
    with serving(tmp_path / "forge", tiny_base, tls=True) as (forge, at):
        kit = invite(forge, "Centre A", at, tmp_path / "kit")
        before = len(forge.ledger.journal())
        with RemoteForge(Connection(at, kit)) as remote:
            other = make_branch(tiny_base, contributor="Centre B")
            upload(remote, other, tmp_path / "branch")
            with pytest.raises(NotAllowed):
                remote.submit(other.manifest.to_bytes(), kit.sign_submit(other.digest))
            with pytest.raises(MedForgeError):
                remote.submit(b"{}")
            forge.ledger.revoke("Centre A")
            for _ in range(100):
                with pytest.raises(NotAllowed):
                    remote.describe()
        entries = told(forge.ledger)[before:]
        assert [(what, about.get("call"), about.get("kind")) for what, about in entries] == [
            (REFUSED, "Submit", "NotAllowed"),
            (REFUSED, "Submit", "InvalidBranch"),
            ("revoked", None, None),
            (REFUSED, "Describe", "NotAllowed"),
        ]
        assert entries[0][1]["contributor"] == "Centre B"
        assert entries[0][1]["caller"] == "Centre A"
        assert entries[0][1]["branch"] == other.digest
        assert "was revoked on" in str(entries[3][1]["sentence"])
    assert [(what, about.get("count")) for what, about in _reread(tmp_path / "forge")[-1:]] == [(REFUSED_AGAIN, 99)]


def _reread(directory: Path) -> list[tuple[str, dict[str, object]]]:
    forge = Forge.open(directory)
    try:
        return told(forge.ledger)
    finally:
        forge.close()


def test_a_refusal_that_the_ledger_cannot_take_is_counted_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger("sqlite://")
    refusals = Refusals(ledger, 60, clock=Clock())

    def gone(*_: object) -> None:
        raise OperationalError("INSERT", {}, ConnectionError("the database is gone"))

    with monkeypatch.context() as broken:
        broken.setattr(Ledger, "enter", gone)
        with pytest.raises(OperationalError):
            refusals.note(call())
    refusals.flush()
    again = {"call": "Submit", "caller": "north", "kind": "InvalidBranch", "count": 1}
    assert told(ledger) == [(REFUSED_AGAIN, again)]
