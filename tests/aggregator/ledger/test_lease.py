"""One process at a time writes a ledger, on SQLite and on PostgreSQL."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.ledger import deadlines
from medforge.aggregator.ledger.database import LeaseLost, LedgerUnavailable
from medforge.aggregator.ledger.guards import SessionGuard
from medforge.aggregator.ledger.lease import UNSURE_AFTER, Lease
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import Arriving
from medforge.errors import InvalidInput
from tests.postgres import Cluster

Lose = Callable[[], None]


@pytest.fixture
def url(ledger_url: str) -> str:
    return ledger_url


@pytest.fixture
def lose_guard(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Lose:
    """Take the guard away, as a cut connection or somebody who tidies up does."""
    if url.startswith("sqlite"):
        return (tmp_path / "ledger.sqlite.lease").unlink
    made: Cluster = request.getfixturevalue("postgres")
    return lambda: made.cut_locks(url)


def taken(url: str) -> tuple[Ledger, Lease]:
    ledger = Ledger(url)
    lease = Lease(ledger)
    lease.take()
    return ledger, lease


def arrive(ledger: Ledger, letter: str) -> int:
    return ledger.add_arrival(letter * 64, "centre", "lung", 1).number


def test_a_second_process_is_refused_with_the_holder_and_writes_nothing(url: str) -> None:
    first, lease = taken(url)
    second = Ledger(url)
    before = first.fact("lease")
    with pytest.raises(InvalidInput, match=r"another process serves the ledger .* stop that one first"):
        Lease(second).take()
    assert first.fact("lease") == before
    assert arrive(first, "a") == 1
    lease.release()
    Lease(second).take()
    with pytest.raises(LeaseLost, match="another process has taken this forge's ledger"):
        arrive(first, "b")
    assert [one.branch[0] for one in second.arrivals()] == ["a"]


def test_who_was_overtaken_notices_and_does_not_write(url: str, lose_guard: Lose) -> None:
    first, lease = taken(url)
    lose_guard()
    _second, other = taken(url)
    assert lease.held, "nothing told the first yet"
    with pytest.raises(LeaseLost):
        arrive(first, "a")
    for _ in range(3):
        try:
            lease.renew()
        except SQLAlchemyError:
            continue
    assert lease.lost
    with pytest.raises(LeaseLost, match="not sure that it alone has its ledger"):
        lease.check()
    assert other.held


def test_branches_that_come_together_have_numbers_in_a_row_or_none(url: str) -> None:
    group = [Arriving(letter * 64, f"centre {letter}", "lung", 1) for letter in "abc"]
    first, lease = taken(url)
    assert arrive(first, "b") == 1
    assert [one.number for one in first.add_arrivals(group)] == [2, 1, 3]
    assert [one.number for one in first.add_arrivals(group[::-1])] == [3, 1, 2]
    lease.release()
    second, held = taken(url)
    with pytest.raises(LeaseLost, match="another process has taken this forge's ledger"):
        first.add_arrivals([Arriving("d" * 64, "centre d", "lung", 1), *group])
    assert second.counts() == (3, 0)
    assert [entry.what for entry in second.journal()] == ["arrived"] * 3
    held.release()


def test_a_guard_that_was_cut_is_taken_again_where_nobody_came(url: str, lose_guard: Lose) -> None:
    if url.startswith("sqlite"):
        pytest.skip("the lock of a file is not cut while its process lives")
    first, lease = taken(url)
    lose_guard()
    with pytest.raises(SQLAlchemyError):
        lease.renew()
    lease.renew()
    assert lease.held
    assert arrive(first, "a") == 1


def test_a_database_that_falls_silent_is_noticed_within_ten_seconds(postgres: Cluster) -> None:
    ledger, lease = taken(postgres.new_ledger())
    begun = time.monotonic()
    postgres.freeze(True)
    try:
        beats = threading.Thread(target=_beat, args=(lease, begun + 20), daemon=True)
        beats.start()
        while lease.held and time.monotonic() < begun + 12:
            time.sleep(0.1)
        assert time.monotonic() - begun < 10
    finally:
        postgres.freeze(False)
    back = time.monotonic()
    while not lease.held:
        assert time.monotonic() < back + 10, "it does not recover"
        time.sleep(0.1)
    assert arrive(ledger, "a") == 1


def test_its_own_session_that_lingers_is_nobody_elses(postgres: Cluster) -> None:
    """The database has not noticed yet that a connection of the forge's is dead, as after a cut network."""
    url = postgres.new_ledger()
    ledger, lease = taken(url)
    with postgres.frozen_locks(url):
        with pytest.raises(SQLAlchemyError):
            lease.renew()
        with pytest.raises(SQLAlchemyError, match="an earlier session of this process still has the ledger"):
            lease.renew()
        assert not lease.lost
        assert arrive(ledger, "a") == 1
    _beat(lease, time.monotonic() + 1)
    lease.renew()
    assert lease.held
    second = Ledger(url)
    with pytest.raises(InvalidInput, match="another process serves the ledger"):
        Lease(second).take()


def test_its_own_session_that_ends_while_it_asks_is_nobody_elses(
    postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.new_ledger()
    ledger, lease = taken(url)
    guard = lease._guard
    assert isinstance(guard, SessionGuard)
    ask = guard._ask
    with contextlib.ExitStack() as frozen:
        frozen.enter_context(postgres.frozen_locks(url))
        with pytest.raises(SQLAlchemyError):
            lease.renew()

        def let_it_end(query: str, **values: str) -> object:
            answer = ask(query, **values)
            frozen.close()
            while postgres.lock_holders(url) and not answer:
                time.sleep(0.01)
            return answer

        monkeypatch.setattr(guard, "_ask", let_it_end)
        lease.renew()
    assert not lease.lost
    assert lease.held
    assert arrive(ledger, "a") == 1


def test_the_database_itself_ends_a_session_of_a_forge_that_is_gone(postgres: Cluster) -> None:
    ledger, lease = taken(postgres.new_ledger())
    guard = lease._guard
    assert isinstance(guard, SessionGuard)
    assert guard._connection is not None
    with ledger.reading() as session:
        for connection in (session.connection(), guard._connection):
            for name, most in (
                ("tcp_keepalives_idle", 10),
                ("tcp_keepalives_interval", 10),
                ("tcp_user_timeout", 20000),
            ):
                said = connection.scalar(
                    text("SELECT setting::int FROM pg_settings WHERE name = :name"), {"name": name}
                )
                assert 0 < said <= most, name


def test_a_silent_database_does_not_keep_a_command_waiting(postgres: Cluster) -> None:
    url = postgres.new_ledger()
    Ledger(url).close()
    postgres.freeze(True)
    begun = time.monotonic()
    try:
        with pytest.raises(LedgerUnavailable, match="cannot be opened .*timeout.*; check its address"):
            Ledger(url)
        assert time.monotonic() - begun < 10
    finally:
        postgres.freeze(False)
    Ledger(url).close()


def test_a_writer_does_not_wait_for_ever_for_one_that_hangs(postgres: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "LOCK_SECONDS", 1)
    url = postgres.new_ledger()
    hanging, waiting = Ledger(url), Ledger(url)
    with hanging.writing():
        begun = time.monotonic()
        with pytest.raises(SQLAlchemyError, match="lock timeout"):
            arrive(waiting, "a")
        assert 1 <= time.monotonic() - begun < 5
    assert arrive(waiting, "a") == 1


def test_an_open_connection_ends_with_the_network(postgres: Cluster) -> None:
    ledger = Ledger(postgres.new_ledger() + "?keepalives_idle=3")
    with ledger._engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        with socket.socket(fileno=os.dup(raw.fileno())) as line:
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 8000
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 3, "what the address says stays"


def _beat(lease: Lease, until: float) -> None:
    while time.monotonic() < until:
        with contextlib.suppress(SQLAlchemyError):
            lease.renew()
        time.sleep(0.5)


def test_clocks_have_no_say(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    at = [1e9]
    lease = Lease(ledger, clock=lambda: at[0])
    lease.take()
    at[0] += UNSURE_AFTER
    assert not lease.held
    lease.renew()
    assert lease.held


def test_a_ledger_in_memory_needs_no_guard() -> None:
    ledger, lease = taken("sqlite://")
    assert arrive(ledger, "a") == 1
    assert lease.held


def test_two_forges_that_bind_one_ledger_at_once(url: str) -> None:
    ledgers = [Ledger(url) for _ in range(2)]
    bound: list[str] = []

    def bind(ledger: Ledger, name: str) -> None:
        try:
            ledger.bind(name)
        except InvalidInput:
            return
        bound.append(name)

    threads = [threading.Thread(target=bind, args=(ledger, name)) for ledger, name in zip(ledgers, "ab", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bound == [ledgers[0].bound]


@pytest.mark.parametrize("statement", ["UPDATE journal SET actor = 'x'", "DELETE FROM journal", "TRUNCATE journal"])
def test_postgresql_itself_refuses_to_change_what_was_written(postgres: Cluster, statement: str) -> None:
    url = postgres.new_ledger()
    ledger = Ledger(url)
    arrive(ledger, "a")
    assert ledger.unprotected() == []
    with pytest.raises(SQLAlchemyError, match="journal is append-only"):
        postgres.execute(statement, url)
    postgres.execute("ALTER TABLE journal DISABLE TRIGGER journal_no_update", url)
    assert ledger.unprotected() == ["journal_no_update"]
    ledger.protect()
    assert ledger.unprotected() == []
    ledger.close()
