"""The live pages on an address of their own, in a thread beside the forge."""

from __future__ import annotations

import socket
import threading

import uvicorn

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.page.door import Door
from medforge.aggregator.page.live_app import LiveApp
from medforge.aggregator.page.live_pages import LivePages
from medforge.errors import InvalidInput
from medforge.proto.address import join_address, split_address

_MOST_CONNECTIONS = 256
_GRACE_SECONDS = 3


class PageServer:
    """Serve a forge's pages at http://HOST:PORT/, to whoever the door admits; `start`, and `stop` once.

    The forge is one that was opened for reading, with a connection to the ledger of its own: whoever looks at pages
    keeps no branch waiting. It is closed with the server.
    """

    def __init__(self, forge: Forge, listen: str, token: str | None = None) -> None:
        """Bind; raises InvalidInput for an address that cannot be had."""
        self._forge = forge
        self._ending = threading.Event()
        self._socket = _bound(listen)
        self.address = join_address(split_address(listen)[0], self._socket.getsockname()[1])
        app = LiveApp(LivePages(forge), Door(forge.settings.forge, token), self._ending).asgi
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                # a log of visits would hold tokens
                access_log=False,
                server_header=False,
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_keep_alive=20,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="page", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Let running answers end, and stop; streams of events end at once."""
        self._ending.set()
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(2 * _GRACE_SECONDS)
        self._socket.close()
        self._forge.close()


def _bound(listen: str) -> socket.socket:
    host, port = split_address(listen)
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(where)
            # from here on whoever comes waits, and is answered once the forge serves
            bound.listen(128)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise InvalidInput(
            f"the page cannot be served on {listen} ({error.strerror}); choose another address with --page"
        ) from error
    return bound
