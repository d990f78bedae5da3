"""A forge that listens: gRPC service, health, reflection and the fold worker in one process."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any, Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.database import LeaseLost
from medforge.aggregator.ledger.journal import FORGE
from medforge.aggregator.ledger.task_table import TaskTable
from medforge.aggregator.logs import about
from medforge.aggregator.main_branch.fold_attempts import ATTEMPTS_FILE, FoldAttempts
from medforge.aggregator.main_branch.fold_worker import FoldWorker, Told
from medforge.aggregator.main_branch.freed_memory import give_back, share_arenas
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.reviewing.board import ReviewBoard
from medforge.aggregator.main_branch.wakeup import Wakeup
from medforge.aggregator.server.blob_watch import BlobWatch
from medforge.aggregator.server.call_log import log_call
from medforge.aggregator.server.charges import CHARGES_FILE, Charges
from medforge.aggregator.server.credentials import ServerCredentials
from medforge.aggregator.server.health_port import HealthPort
from medforge.aggregator.server.housekeeper import Housekeeper
from medforge.aggregator.server.interceptor import ForgeInterceptor
from medforge.aggregator.server.lease_keeper import LeaseKeeper
from medforge.aggregator.server.ledger_watch import LedgerWatch
from medforge.aggregator.server.monitoring import MonitoringServer
from medforge.aggregator.server.peer_clocks import PeerClocks
from medforge.aggregator.server.port_check import check_free
from medforge.aggregator.server.prometheus import LedgerCollector, MachineCollector, Tally
from medforge.aggregator.server.rate_limit import threads
from medforge.aggregator.server.readiness import Readiness
from medforge.aggregator.server.refusal_journal import Refusals
from medforge.aggregator.server.service import ForgeService
from medforge.base_module import BaseModule
from medforge.determinism import cpu_seconds
from medforge.errors import InvalidInput
from medforge.faults import reached
from medforge.files import SHARED, write_atomically
from medforge.proto import forge_pb2
from medforge.proto.address import is_loopback, join_address, split_address
from medforge.proto.forge_pb2_grpc import add_ForgeServicer_to_server

SERVICE = forge_pb2.DESCRIPTOR.services_by_name["Forge"].full_name
_log = logging.getLogger(__name__)
_ROOM_FOR_FIELDS = 1 << 16
_GRACE_SECONDS = 5.0
_CANCEL_SECONDS = 5.0
_FOLD_GRACE_SECONDS = 20.0
_FOLDS_A_TRIM = 16


class Beside(Protocol):
    """Serve something else of a forge in a thread of its own."""

    address: str

    def start(self) -> None:
        """Answer from now on."""

    def stop(self) -> None:
        """Stop listening."""


class ForgeServer:
    """Serve one forge on one address; call `start` and `stop` from one thread.

    With `tls` callers need a kit of this forge; by default TLS is on unless only this machine can reach the address.
    `on_lost` is called when another process has taken the ledger: nothing is answered from then on.
    """

    def __init__(
        self,
        forge: Forge,
        base: BaseModule,
        listen: str,
        tls: bool | None = None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.forge = forge
        self._listen = listen
        self.tls = not is_loopback(split_address(listen)[0]) if tls is None else tls
        self._arrived, self._committed = Wakeup(), Wakeup()
        self._health = health.HealthServicer()
        self.tally = Tally()
        self._watch = LedgerWatch(forge.ledger)
        self._blob_watch = None if forge.settings.blobs is None else BlobWatch(forge.blobs.kept)
        self._refusals = Refusals(forge.ledger)
        self._charges = Charges(forge.directory / CHARGES_FILE, forge.policy.limits)
        listeners = (log_call, self.tally.note, self._refusals.note)
        self.clocks = clocks = PeerClocks()
        may_answer = forge.lease.check if forge.lease is not None else lambda: None
        self.interceptor = ForgeInterceptor(
            forge.ledger, forge.policy.limits, self._charges, listeners, may_answer=may_answer, clocks=clocks
        )
        self._keeper = LeaseKeeper(forge.lease, on_lost) if forge.lease is not None else None
        self._service = ForgeService(forge, base, self._arrived, self._committed, self._charges, clocks)
        self._main = main = MainBranch(forge, base)
        self._worker = FoldWorker(
            forge.ledger,
            self._fold,
            main.settle,
            self._arrived,
            self._committed,
            FoldAttempts(forge.directory / ATTEMPTS_FILE),
            Told(self._worker_ended, self.tally.folded, self.tally.fault),
            review=ReviewBoard(forge.ledger, forge.policy.review).step,
        )
        self._housekeeper = Housekeeper(forge, self._charges)
        self._readiness = Readiness(
            forge, self._watch, self._worker.is_alive, self.tls, clocks=clocks, blobs=self._blob_watch
        )
        self._server = self._build()

    def start(self) -> str:
        """Listen, begin to fold, and return the address HOST:PORT; raise InvalidInput if it cannot be listened on."""
        if self.forge.lease is not None:
            # what came since it was taken may have lasted
            self.forge.lease.renew()
        address = _bind(self._server, self._listen, ServerCredentials(self.forge).grpc() if self.tls else None)
        self._set_health(health_pb2.HealthCheckResponse.SERVING)
        self._worker.start()
        self._watch.start()
        if self._blob_watch is not None:
            self._blob_watch.start()
        self._housekeeper.start()
        if self._keeper is not None:
            self._keeper.start()
        self._server.start()
        return address

    def monitor(self, listen: str) -> MonitoringServer:
        """Serve metrics and probes on HOST:PORT from now on; once in a server's life."""
        registry = self.tally.registry
        registry.register(LedgerCollector(self.forge, self.interceptor.limiter, self._watch))
        registry.register(MachineCollector(self._readiness))
        return MonitoringServer(registry, self._readiness, listen)

    def answer_health(self, listen: str) -> HealthPort:
        """Answer gRPC's health service on HOST:PORT as well, where nobody needs a kit."""
        return HealthPort(self._health, listen)

    def stop(self) -> bool:
        """Refuse new calls, and let running calls and the running fold end; return whether the fold ended in time."""
        self._health.enter_graceful_shutdown()
        self._worker.stop()
        self._watch.stop()
        if self._blob_watch is not None:
            self._blob_watch.stop()
        self._housekeeper.stop()
        if self._keeper is not None:
            self._keeper.stop()
        self._service.close()
        calls_ended = self._server.stop(_GRACE_SECONDS).wait(_GRACE_SECONDS + _CANCEL_SECONDS)
        if not calls_ended:
            _log.warning("a call does not end; it is abandoned, nothing that was acknowledged depends on it")
        self.interceptor.close()
        self._refusals.flush()
        self._charges.save()
        if self._worker.ident is not None:
            self._worker.join(_FOLD_GRACE_SECONDS)
        return not self._worker.is_alive()

    def _build(self) -> Any:
        limits = self.forge.policy.limits
        server = grpc.server(
            futures.ThreadPoolExecutor(threads(limits), thread_name_prefix="rpc"),
            interceptors=(self.interceptor,),
            options=(
                # Without this a second server could share the port, and each would get half of the calls.
                ("grpc.so_reuseport", 0),
                # Else every upload's window grows to megabytes; this one still lets 20 MB/s through at 50 ms.
                ("grpc.http2.bdp_probe", 0),
                ("grpc.http2.lookahead_bytes", 1 << 20),
                ("grpc.max_receive_message_length", max(limits.chunk, limits.manifest) + _ROOM_FOR_FIELDS),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 20_000),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ),
        )
        add_ForgeServicer_to_server(self._service, server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        return server

    def _fold(self, number: int) -> None:
        """Fold an arrival, and charge whoever brought it."""
        arrival = self.forge.ledger.arrival(number)
        payer = self._charges.payer(number, arrival.contributor if arrival else FORGE)
        begun = cpu_seconds()
        try:
            self._main.fold(number)
        finally:
            seconds = cpu_seconds() - begun
            self._charges.charge(payer, seconds)
            self.tally.worked("fold", seconds)
        if number % _FOLDS_A_TRIM == 0:
            give_back()

    def _worker_ended(self) -> None:
        self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)

    def _set_health(self, state: int) -> None:
        for name in ("", SERVICE):
            self._health.set(name, state)


def serve(
    forge: Forge,
    base: BaseModule,
    listen: str,
    ready_file: Path | None = None,
    tls: bool | None = None,
    metrics: str | None = None,
    page: Beside | None = None,
    health_port: str | None = None,
) -> None:
    """Serve a forge until SIGTERM or SIGINT; `tls` as for `ForgeServer`, `metrics` HOST:PORT for Prometheus and probes.

    `health_port` HOST:PORT answers gRPC's health service to whoever asks, without a kit.

    `page` is a server of pages, which is started once the forge serves, and stopped with it.

    Once serving, the address is logged and, where asked for, written to a file. A fold that outlasts its grace is
    abandoned: the ledger is as it was before the fold, and the next start folds the arrival. Raises LeaseLost once
    another process has taken the ledger.
    """
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)
    share_arenas()
    # whoever waits for a signal wakes by one
    server = ForgeServer(forge, base, listen, tls, lambda: os.kill(os.getpid(), signal.SIGTERM))
    wait_for_signal = _listen_for(signal.SIGTERM, signal.SIGINT)
    # kill -USR1 writes to stderr what every thread of a server that seems to hang is doing
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    reached("starting")
    waits_for_tasks = not forge.policy.tasks.open and not TaskTable(forge.ledger).declarations()
    watched = [server.monitor(metrics)] if metrics else []
    probed = [server.answer_health(health_port)] if health_port else []
    address = server.start()
    for door in watched:
        said = "metrics are at http://%s/metrics, probes at /livez and /readyz, for whoever can reach that address"
        _log.info(said, door.address)
    for port in probed:
        _log.info("gRPC's health service answers at %s without a kit", port.address)
    if page:
        page.start()
        _log.info("people can look at the forge at http://%s/", page.address, extra=about("page", address=page.address))
    if server.tls:
        _log.info("callers need a kit of this forge; `medforge invite` makes one, also while it is served")
    elif not is_loopback(split_address(address)[0]):
        _log.warning(
            "%s can be reached from other machines and the connection is not encrypted; guard it, by a VPN say", address
        )
    if waits_for_tasks:
        _log.info("no task is declared yet; a branch is held until `medforge task add` declares its task")
    where = about("listening", forge=forge.settings.forge, address=address)
    _log.info("forge %s (%s) listens on %s", forge.settings.forge, forge.directory, address, extra=where)
    if ready_file is not None:
        write_atomically(ready_file, address.encode(), SHARED)
    wait_for_signal()
    _log.info("stopping", extra=about("stopping"))
    if page:
        page.stop()
    if not server.stop():
        _log.warning("the running fold is abandoned; the next start folds its arrival")
    for door in watched:
        door.stop()
    for port in probed:
        port.stop()
    _log.info("stopped", extra=about("stopped"))
    if forge.lease is not None and forge.lease.lost:
        raise LeaseLost(
            f"another process serves the ledger {forge.ledger.name} now, so this one has stopped; push to that one, "
            f"and see that one server of a forge runs"
        )


def _listen_for(*signals: signal.Signals) -> Callable[[], None]:
    """Take over signals from now on; return a function that waits for one of them.

    The interpreter writes a byte into a socket whichever thread the kernel hands the signal to, and whatever the main
    thread is about to wait for: a lock would miss both.
    """
    hear, speak = socket.socketpair()
    speak.setblocking(False)
    # the byte says it all, but without a handler of Python's there would be none
    for name in signals:
        signal.signal(name, lambda _signal, _frame: None)
    signal.set_wakeup_fd(speak.fileno(), warn_on_full_buffer=False)

    def wait() -> None:
        hear.recv(1)
        signal.set_wakeup_fd(-1)
        speak.close()
        hear.close()

    return wait


def _bind(server: Any, listen: str, credentials: Any) -> str:
    check_free(listen)
    try:
        bound: int = (
            server.add_insecure_port(listen) if credentials is None else server.add_secure_port(listen, credentials)
        )
    except RuntimeError as error:
        raise InvalidInput(f"cannot listen on {listen} ({error}); choose another address with --listen") from error
    return join_address(split_address(listen)[0], bound)
