"""A proxy in front of PostgreSQL for which, from one message on, the database is gone, silent, or refuses."""

import contextlib
import selectors
import socket
import socketserver
import struct
import threading
from types import TracebackType
from typing import Any, Self

GONE, SILENT = "gone", "silent"
REFUSALS = {"full": "53100", "crowded": "53300", "read-only": "25006", "forbidden": "42501", "restarting": "57P03"}
FAULTS = (GONE, SILENT, *REFUSALS)
_READY = b"Z" + struct.pack("!I", 5)
_IN_FAILED_ONE, _OUTSIDE = b"E", b"I"


class DatabaseProxy:
    """Carry connections to `target` (host, port) until its client has sent `after` messages, over all connections.

    From the next message on the database has a fault: what is sent does not reach it, nor does any new connection; the
    client sees the connection end (`GONE`), hears nothing (`SILENT`), or is refused (`REFUSALS`). `asked` counts.
    """

    def __init__(self, target: tuple[str, int], fault: str, after: int) -> None:
        self.target, self.fault, self.after = target, fault, after
        self.asked = 0
        self._guard = threading.Lock()
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    proxy._carry(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._over = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def struck(self) -> bool:
        """Say whether the client has met the fault."""
        return self.asked > self.after

    def _strikes(self) -> bool:
        with self._guard:
            self.asked += 1
            return self.struck

    def _carry(self, client: Any) -> None:
        with socket.create_connection(self.target) as server, selectors.DefaultSelector() as ready:
            for end in (client, server):
                ready.register(end, selectors.EVENT_READ)
            # how the server's last answer ended; nothing before the first
            stands = b""
            while not self._over.is_set():
                for key, _ in ready.select(0.1):
                    if not (data := key.fileobj.recv(1 << 16)):  # type: ignore[union-attr]
                        return
                    if key.fileobj is server:
                        stands = data[-1:] if data[-6:-1] == _READY else stands
                        client.sendall(data)
                    elif not self._strikes():
                        server.sendall(data)
                    elif not self._fail(client, stands):
                        return
                    else:
                        stands = _OUTSIDE if stands == _OUTSIDE else _IN_FAILED_ONE

    def _fail(self, client: Any, stands: bytes) -> bool:
        """Let the client meet the fault; say whether its connection goes on."""
        if self.fault == SILENT:
            return True
        if self.fault == GONE:
            return False
        kind = b"SERROR\0VERROR\0" if stands else b"SFATAL\0VFATAL\0"
        said = kind + b"C" + REFUSALS[self.fault].encode() + b"\0Mno, said the database\0\0"
        client.sendall(b"E" + struct.pack("!I", len(said) + 4) + said)
        if stands:
            client.sendall(_READY + (_OUTSIDE if stands == _OUTSIDE else _IN_FAILED_ONE))
        return bool(stands)
