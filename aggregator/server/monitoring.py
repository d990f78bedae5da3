"""What watches a forge over HTTP: its metrics, and whether it is alive and ready."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from medforge.aggregator.server.readiness import Check, Readiness
from medforge.errors import InvalidInput
from medforge.proto.address import join_address, split_address

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from prometheus_client import CollectorRegistry


class MonitoringServer:
    """Serve /metrics, /livez and /readyz on HOST:PORT. There is no access control: listen on loopback, or guard it."""

    def __init__(self, registry: CollectorRegistry, readiness: Readiness, listen: str) -> None:
        """Listen; raises InvalidInput for an address that cannot be had."""
        host, port = split_address(listen)
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
            server = type("_Server", (_Server,), {"address_family": family})
            application = _application(registry, readiness)
            self._server: WSGIServer = make_server(host, port, application, server, _Silent)
        except OSError as error:
            raise InvalidInput(
                f"metrics cannot be served on {listen} ({error.strerror}); choose another address with --metrics"
            ) from error
        self.address = join_address(host, self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, name="monitoring", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        # shutdown() waits for the serving loop, which looks twice a second
        stopping = threading.Thread(target=self._server.shutdown, daemon=True)
        stopping.start()
        stopping.join(2.0)
        self._server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    """Answer each caller in a thread of its own, so that a scrape that waits for the ledger keeps no probe waiting."""

    daemon_threads = True


class _Silent(WSGIRequestHandler):
    timeout = 20

    def log_message(self, *_: object) -> None:
        """Log no probe: they come every few seconds."""


def _application(registry: CollectorRegistry, readiness: Readiness) -> WSGIApplication:
    metrics: WSGIApplication = make_wsgi_app(registry)
    probes: dict[str, Callable[[], list[Check]]] = {"/livez": readiness.alive, "/readyz": readiness.ready}

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, start_response)
        if path in probes:
            checks = probes[path]()
            ok = all(check.ok for check in checks)
            status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
            return _reply(start_response, status, {"ok": ok, "checks": [asdict(check) for check in checks]})
        paths = ["/metrics", *probes]
        return _reply(start_response, HTTPStatus.NOT_FOUND, {"error": f"nothing is here; there are {', '.join(paths)}"})

    return answer


def _reply(start_response: StartResponse, status: HTTPStatus, said: dict[str, Any]) -> list[bytes]:
    body = json.dumps(said).encode() + b"\n"
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]
