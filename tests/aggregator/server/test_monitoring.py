"""What probes are told, and how fast."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry
from sqlalchemy.exc import OperationalError

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Limits, Policy
from medforge.aggregator.identity.authority import CERTIFICATE_FILE, KEY_FILE, KEYS
from medforge.aggregator.server.ledger_watch import LedgerWatch
from medforge.aggregator.server.monitoring import MonitoringServer
from medforge.aggregator.server.readiness import Readiness
from medforge.aggregator.server.server import ForgeServer
from medforge.base_module import BaseModule
from medforge.errors import InvalidInput
from tests.aggregator.forges import UNEXAMINED
from tests.aggregator.serving import FAST


def get(address: str, path: str) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(address, timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


@contextmanager
def monitored(directory: Path, base: BaseModule, tls: bool = True) -> Iterator[tuple[ForgeServer, str]]:
    forge = Forge.establish(directory, base, FAST, policy=UNEXAMINED)
    server = ForgeServer(forge, base, "127.0.0.1:0", tls)
    monitoring = server.monitor("127.0.0.1:0")
    server.start()
    try:
        yield server, monitoring.address
    finally:
        monitoring.stop()
        server.stop()
        forge.close()


def problems(answer: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["says"] for check in answer["checks"] if not check["ok"]}


def test_a_forge_that_serves_is_alive_and_ready(tmp_path: Path, tiny_base: BaseModule) -> None:
    with monitored(tmp_path / "forge", tiny_base) as (_, at):
        status, answer = get(at, "/livez")
        assert (status, answer["ok"]) == (200, True)
        status, answer = get(at, "/readyz")
        assert (status, answer["ok"]) == (200, True), answer
        names = [check["name"] for check in answer["checks"]]
        assert names == ["fold worker", "ledger", "lease", "disk", "keys", "certificate", "clock"]
        assert get(at, "/")[0] == get(at, "/metric")[0] == 404


def test_lost_keys_make_it_unready_and_not_dead(tmp_path: Path, tiny_base: BaseModule) -> None:
    with monitored(tmp_path / "forge", tiny_base) as (_, at):
        (tmp_path / "forge" / KEYS / KEY_FILE).unlink()
        (tmp_path / "forge" / KEYS / CERTIFICATE_FILE).write_bytes(b"nonsense")
        status, answer = get(at, "/readyz")
        assert status == 503
        assert set(problems(answer)) == {"keys", "certificate"}
        assert "restore the keys from a backup" in problems(answer)["keys"]
        assert get(at, "/livez")[0] == 200


def test_an_ended_fold_worker_is_dead(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)
    readiness = Readiness(forge, LedgerWatch(forge.ledger), lambda: False, tls=False)
    assert [check.ok for check in readiness.alive()] == [False]
    forge.close()


def test_a_disk_below_its_reserve_and_an_old_certificate_are_said(tmp_path: Path, tiny_base: BaseModule) -> None:
    policy = Policy(limits=Limits(disk_reserve=1 << 50), admission=UNEXAMINED.admission)
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST, policy=policy)
    server = ForgeServer(forge, tiny_base, "127.0.0.1:0", tls=True)
    server.start()
    later = datetime.now(UTC) + timedelta(days=100 * 365)
    readiness = Readiness(forge, LedgerWatch(forge.ledger), lambda: True, tls=True, clock=lambda: later)
    found = {check.name: check.says for check in readiness.ready() if not check.ok}
    assert set(found) == {"disk", "certificate"}
    assert "make room" in found["disk"]
    assert "nobody can connect any more" in found["certificate"]
    server.stop()
    forge.close()


def test_a_ledger_that_falls_silent_is_said_within_seconds_and_keeps_no_probe_waiting(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)
    silent = threading.Event()
    answer = forge.ledger.fact

    def wait(name: str) -> str | None:
        while silent.is_set():
            time.sleep(0.02)
        return answer(name)

    monkeypatch.setattr(forge.ledger, "fact", wait)
    watch = LedgerWatch(forge.ledger, every=0.05, silent=0.2)
    monitoring = MonitoringServer(CollectorRegistry(), Readiness(forge, watch, lambda: True, tls=False), "127.0.0.1:0")
    watch.start()
    try:
        silent.set()
        assert becomes(monitoring.address, 503)
        silent.clear()
        assert becomes(monitoring.address, 200)
    finally:
        watch.stop()
        monitoring.stop()
        forge.close()


def becomes(address: str, status: int) -> bool:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        begun = time.monotonic()
        if get(address, "/readyz")[0] == status:
            return time.monotonic() - begun < 1
        time.sleep(0.02)
    return False


def test_a_ledger_that_fails_is_down_until_it_answers(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)

    def fail(_: str) -> str | None:
        raise OperationalError("select", {}, Exception("server closed the connection"))

    monkeypatch.setattr(forge.ledger, "fact", fail)
    watch = LedgerWatch(forge.ledger, every=0.02)
    watch.start()
    end = time.monotonic() + 5
    while watch.answers and time.monotonic() < end:
        time.sleep(0.01)
    assert not watch.answers
    monkeypatch.undo()
    while not watch.answers and time.monotonic() < end:
        time.sleep(0.01)
    assert watch.answers
    watch.stop()
    watch.join()
    forge.close()


def test_grpc_health_is_answered_without_a_kit_on_a_port_of_its_own(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)
    server = ForgeServer(forge, tiny_base, "127.0.0.1:0", tls=True)
    port = server.answer_health("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(port.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
        question = health_pb2.HealthCheckRequest(service="")
        assert stub.Check(question, timeout=5).status == health_pb2.HealthCheckResponse.SERVING
        describe = channel.unary_unary("/medforge.v1.Forge/Describe")
        with pytest.raises(grpc.RpcError) as refused:
            describe(b"", timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        server.stop()
        assert stub.Check(question, timeout=5).status == health_pb2.HealthCheckResponse.NOT_SERVING
    port.stop()
    forge.close()


def test_an_address_in_use_gets_a_sentence(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)
    server = ForgeServer(forge, tiny_base, "127.0.0.1:0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(InvalidInput, match=f"metrics cannot be served on {at} .*; choose another address with"):
            server.monitor(at)
        with pytest.raises(InvalidInput, match="in use; stop what listens there, or choose another with --health"):
            server.answer_health(at)
    forge.close()
