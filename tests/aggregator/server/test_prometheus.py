"""What a monitoring system reads."""

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.core import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.exc import OperationalError

from medforge import __version__
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Limits
from medforge.aggregator.ledger.records import Contributor
from medforge.aggregator.main_branch.transient import PARKED
from medforge.aggregator.server.ledger_watch import LedgerWatch
from medforge.aggregator.server.prometheus import LedgerCollector
from medforge.aggregator.server.rate_limit import Limiter
from medforge.aggregator.server.server import ForgeServer
from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.proto.connection import Connection
from medforge.proto.errors import ForgeFault
from medforge.proto.remote import RemoteForge
from tests.aggregator.forges import UNEXAMINED
from tests.aggregator.serving import FAST, Served, upload, wait_until_folded
from tests.making import make_branch

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(address: str) -> Samples:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@contextmanager
def measured(directory: Path, base: BaseModule) -> Iterator[tuple[ForgeServer, str, str]]:
    """A forge that serves, its address, and that of its metrics."""
    forge = Forge.establish(directory, base, FAST, policy=UNEXAMINED)
    server = ForgeServer(forge, base, "127.0.0.1:0")
    metrics = server.monitor("127.0.0.1:0")
    try:
        yield server, server.start(), metrics.address
    finally:
        metrics.stop()
        server.stop()
        forge.close()


def one(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def test_a_scrape_says_what_happened(tmp_path: Path, tiny_base: BaseModule) -> None:
    with measured(tmp_path / "forge", tiny_base) as (server, at, metrics), RemoteForge(Connection(at)) as remote:
        before = scrape(metrics)
        assert one(before, "medforge_arrivals", state="folded") == 0
        assert one(before, "medforge_commits_total") == 0
        branches = [make_branch(tiny_base, seed, task=f"task {seed}") for seed in range(2)]
        for branch in branches:
            upload(remote, branch, tmp_path / branch.digest)
            remote.submit(branch.manifest.to_bytes())
        with pytest.raises(InvalidBranch):
            remote.submit(b"{}")
        wait_until_folded(server.forge, 2)
        held = make_branch(tiny_base, 3)
        server.forge.ledger.add_arrival(held.digest, "north", "held", 5)
        server.forge.ledger.hold(3, "odd")
        after = scrape(metrics)
        assert one(after, "medforge_arrivals", state="folded") == 2
        assert one(after, "medforge_arrivals", state="held") == 1
        assert one(after, "medforge_commits_total") == 2
        assert one(after, "medforge_journal_entries_total") == len(server.forge.ledger.journal())
        assert one(after, "medforge_oldest_waiting_seconds") == 0
        assert one(after, "medforge_ledger_up") == 1
        assert one(after, "medforge_fold_seconds_count") == 2
        assert 0 < one(after, "medforge_fold_seconds_sum") < 60
        sent = sum(entry.size for branch in branches for entry in branch.manifest.files.values())
        assert sent < one(after, "medforge_received_bytes_total", call="Upload") < 1.1 * sent
        assert one(after, "medforge_refusals_total", call="Submit", kind="InvalidBranch") == 1
        assert one(after, "medforge_calls_total", call="Submit", code="OK") == 2
        assert one(after, "medforge_calls_total", call="Submit", code="INVALID_ARGUMENT") == 1
        head = server.forge.ledger.head()
        assert head is not None
        for task, score in head.metrics.items():
            assert one(after, "medforge_head_accuracy", task=task) == score.acc
        assert set(head.metrics) == {"task 0", "task 1"}
        info = dict(next(labels for name, labels in after if name == "medforge_build_info"))
        assert info == {
            "version": __version__,
            "forge": server.forge.settings.forge,
            "base": tiny_base.fingerprint[:12],
            "method": "mixture-output-gated",
        }


def test_faults_of_the_forge_raise_an_alarm_and_refusals_do_not(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    with measured(tmp_path / "forge", tiny_base) as (server, at, metrics), RemoteForge(Connection(at)) as remote:
        before = scrape(metrics)
        assert {one(before, "medforge_faults_total", where=where) for where in ("fold", "settle", "review")} == {0}
        assert one(before, "medforge_parked_arrivals") == 0

        def fail(*_: object) -> Any:
            raise ZeroDivisionError("nobody expected it")

        with pytest.raises(InvalidBranch):
            remote.submit(b"{}")
        monkeypatch.setattr(server.forge, "accept", fail)
        branch = make_branch(tiny_base)
        with pytest.raises(ForgeFault, match="the forge failed in Submit"):
            remote.submit(branch.manifest.to_bytes())
        server.forge.ledger.add_arrival(branch.digest, "north", "task", 5)
        server.forge.ledger.hold(1, PARKED)
        after = scrape(metrics)
        assert one(after, "medforge_faults_total", where="Submit") == 1
        assert one(after, "medforge_parked_arrivals") == 1
        assert one(after, "medforge_cpu_seconds_total", work="Submit") > 0
        assert one(after, "medforge_sent_bytes_total", call="Submit") == 0


def test_what_the_ledger_says_survives_a_restart(tmp_path: Path, tiny_base: BaseModule) -> None:
    with measured(tmp_path / "forge", tiny_base) as (server, at, _), RemoteForge(Connection(at)) as remote:
        branch = make_branch(tiny_base)
        upload(remote, branch, tmp_path / "branch")
        remote.submit(branch.manifest.to_bytes())
        wait_until_folded(server.forge, 1)
    with measured(tmp_path / "forge", tiny_base) as (_, _, metrics):
        again = scrape(metrics)
    assert one(again, "medforge_commits_total") == 1
    assert one(again, "medforge_arrivals", state="folded") == 1
    assert one(again, "medforge_fold_seconds_count") == 0


def test_uploads_that_are_open_are_seen(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)
    limiter = Limiter(Limits())
    with limiter.open("uploads", "north"), limiter.open("uploads", "south"):
        assert (
            read(LedgerCollector(forge, limiter, LedgerWatch(forge.ledger)), "medforge_open_calls", kind="uploads") == 2
        )
    assert read(LedgerCollector(forge, limiter, LedgerWatch(forge.ledger)), "medforge_open_calls", kind="uploads") == 0


def test_the_oldest_waiting_arrival_grows_old(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)
    forge.ledger.add_arrival("a" * 64, "north", "task", 5)
    forge.ledger.add_arrival("b" * 64, "north", "task", 5)
    later = datetime.fromisoformat(forge.ledger.unfolded()[0].accepted_at) + timedelta(seconds=90)
    collector = LedgerCollector(forge, Limiter(Limits()), LedgerWatch(forge.ledger), lambda: later)
    assert read(collector, "medforge_oldest_waiting_seconds") == 90
    earlier = LedgerCollector(
        forge, Limiter(Limits()), LedgerWatch(forge.ledger), lambda: datetime(2000, 1, 1, tzinfo=UTC)
    )
    assert read(earlier, "medforge_oldest_waiting_seconds") == 0


def test_kits_that_end_within_thirty_days_are_counted(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)
    moment = datetime(2026, 6, 1, tzinfo=UTC)
    ends = {"over": -1, "today": 0, "soon": 29, "later": 30, "gone": 5, "renewed": 5}
    for name, days in (*ends.items(), ("renewed", 700), ("unknown", None)):
        expires = None if days is None else (moment + timedelta(days=days)).isoformat()
        forge.ledger.invite(Contributor(name, b"k" * 32, "c" * 64, "2026-01-01T00:00:00Z"), None, expires)
    forge.ledger.revoke("gone")
    collector = LedgerCollector(forge, Limiter(Limits()), LedgerWatch(forge.ledger), lambda: moment)
    assert read(collector, "medforge_contributors_expiring") == 2
    forge.close()


def test_a_ledger_that_cannot_be_read_is_said_to_be_down(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)

    def fail(*_: object) -> Any:
        raise OperationalError("select", {}, Exception("disk I/O error"))

    monkeypatch.setattr(forge.ledger, "count_states", fail)
    collector = LedgerCollector(forge, Limiter(Limits()), LedgerWatch(forge.ledger))
    assert read(collector, "medforge_ledger_up") == 0
    assert not [family for family in collector.collect() if family.name == "medforge_arrivals"]


def test_a_real_server_serves_them_only_where_it_is_told(tmp_path: Path, tiny_spec: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{free.getsockname()[1]}"
    served = Served(tmp_path / "forge", tiny_spec, "127.0.0.1:0", "--metrics", at)
    try:
        served.wait_ready()
        found = scrape(at)
        assert one(found, "medforge_ledger_up") == 1
        assert one(found, "process_resident_memory_bytes") > 1 << 20
        assert one(found, "medforge_disk_free_bytes") > one(found, "medforge_disk_reserve_bytes") > 0
        assert f"metrics are at http://{at}/metrics" in served.errors.read_text()
        assert served.stop() == 0
        with pytest.raises(OSError, match="refused"):
            scrape(at)
    finally:
        if served.process.alive:
            served.kill()


def read(collector: LedgerCollector, name: str, **labels: str) -> float:
    registry = CollectorRegistry()
    registry.register(collector)
    value = registry.get_sample_value(name, labels)
    assert value is not None
    return value
