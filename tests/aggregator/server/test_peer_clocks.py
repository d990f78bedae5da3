"""A forge whose clock is off is told so, by what its contributors' clocks say, and no hospital is."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.server import peer_clocks
from medforge.aggregator.server.ledger_watch import LedgerWatch
from medforge.aggregator.server.peer_clocks import PeerClocks, is_off, middle, since_start
from medforge.aggregator.server.prometheus import MachineCollector
from medforge.aggregator.server.readiness import Readiness
from medforge.aggregator.server.server import ForgeServer
from medforge.base_module import BaseModule
from medforge.client.doctor.examination import examine
from medforge.proto import clock, remote
from medforge.proto.certificates import now, spell_time
from medforge.proto.clock import TIME_HEADER, clock_in
from medforge.proto.connection import Connection
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import FAST

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clocks:
    """A machine's two clocks: one that is set, one that only goes on."""

    def __init__(self) -> None:
        self.moment, self.wrong = 0.0, 0.0
        self.peers = PeerClocks(lambda: self.true() + timedelta(seconds=self.wrong), lambda: self.moment)

    def true(self) -> datetime:
        return START + timedelta(seconds=self.moment)

    def hear(self, *apart: float) -> None:
        for number, seconds in enumerate(apart):
            self.peers.heard(f"centre {number}", self.true() + timedelta(seconds=seconds))


@given(
    right=st.lists(st.floats(-5, 5), min_size=2, max_size=20),
    lies=st.lists(st.floats(-1e12, 1e12), max_size=19),
    off=st.floats(-1e6, 1e6),
)
def test_fewer_liars_than_others_move_nothing(right: list[float], lies: list[float], off: float) -> None:
    lies = lies[: len(right) - 1]
    found = middle([off + one for one in right] + lies)
    if len(right) + len(lies) < 3:
        assert found is None
    else:
        assert found is not None
        assert off + min(right) <= found <= off + max(right)


def test_a_clock_that_is_put_right_is_right_at_once() -> None:
    machine = Clocks()
    machine.wrong = 400.0
    machine.hear(1.0, -1.0)
    assert machine.peers.ahead() is None
    machine.hear(1.0, -1.0, 1e9)
    assert machine.peers.ahead() == pytest.approx(399.0)
    machine.moment += 86400
    assert machine.peers.ahead() == pytest.approx(399.0)
    machine.wrong = 0.0
    assert not is_off(machine.peers.ahead())
    machine.moment += 7 * 86400
    assert machine.peers.ahead() is None


def test_the_log_warns_once_an_hour(caplog: pytest.LogCaptureFixture) -> None:
    machine = Clocks()
    machine.wrong = 400.0
    with caplog.at_level(logging.WARNING, peer_clocks.__name__):
        for _ in range(60):
            machine.hear(0.0, 0.0, 0.0)
            machine.moment += 120
    assert len(caplog.records) == 2
    assert "the forge's clock is 400 s ahead of most contributors'; set it" in caplog.text


@pytest.mark.parametrize("said", ["", "yesterday", "2026-01-01T00:00:00", "9" * 4000, "0001-01-01T00:00:00+23:59"])
def test_what_is_no_time_is_no_time(said: str) -> None:
    found = clock_in([("user-agent", "x"), (TIME_HEADER, said)])
    assert found is None or isinstance(found.timestamp(), float)
    assert clock_in([(TIME_HEADER, b"\xff")]) is None


@pytest.fixture
def served(tmp_path: Path, tiny_base: BaseModule) -> Iterator[tuple[ForgeServer, str]]:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)
    server = ForgeServer(forge, tiny_base, "127.0.0.1:0", tls=True)
    try:
        yield server, server.start()
    finally:
        server.stop()
        forge.close()


def call(kit: Kit, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Call over real TLS from a machine whose clock is so far from the forge's."""
    said = spell_time(now() + timedelta(seconds=seconds))
    with monkeypatch.context() as there:
        there.setattr(remote, "clock_metadata", lambda: ((TIME_HEADER, said),))
        with RemoteForge(Connection(kit.card.address, kit)) as forge:
            forge.describe()


def doctor(kit: Kit, seconds: float, monkeypatch: pytest.MonkeyPatch) -> str:
    """What `medforge doctor` says of the clock of a machine that is so far from the forge's."""
    there = now() + timedelta(seconds=seconds)
    with monkeypatch.context() as patched:
        patched.setattr(remote, "clock_metadata", lambda: ((TIME_HEADER, spell_time(there)),))
        patched.setattr("medforge.client.doctor.forge.now", lambda: there)
        checks = {one.check: one for one in examine(Connection(kit.card.address, kit))}
    return checks["clock"].state


def test_the_maintainer_is_told_and_no_hospital(
    served: tuple[ForgeServer, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, at = served
    kits = [invite(server.forge, f"Centre {name}", at, tmp_path / name) for name in "ABC"]
    for kit in kits[:2]:
        call(kit, -600, monkeypatch)
    watch = LedgerWatch(server.forge.ledger)
    readiness = Readiness(server.forge, watch, lambda: True, tls=True, clocks=server.clocks)
    assert readiness.ready()[-1].says == "is compared once 3 contributors have called"
    call(kits[2], 50_000_000, monkeypatch)
    found = readiness.ready()[-1]
    assert (found.name, found.ok) == ("clock", True)
    assert "s ahead of most contributors'; set it, or let NTP keep it" in found.says
    metrics = {one.name: one.samples[0].value for one in MachineCollector(readiness).collect()}
    assert metrics["medforge_clock_ahead_seconds"] == pytest.approx(600, abs=30)
    # a hospital whose clock goes as most do is left in peace, and one whose clock does not is told
    assert doctor(kits[0], -600, monkeypatch) == "ok"
    assert doctor(kits[2], -7000, monkeypatch) == "problem"


def test_the_clock_is_said_with_each_question() -> None:
    told = clock_in(clock.clock_metadata())
    assert told is not None
    assert abs(told - now()) < timedelta(seconds=5)
    assert since_start() <= since_start()
