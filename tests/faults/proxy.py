"""A TCP proxy that troubles the connections it carries: resets, cuts, stalls, delays and repeats them."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

_PIECE = 1 << 12
_RESET = struct.pack("ii", 1, 0)

Kind = Literal["none", "reset", "close", "stall", "cut", "delay", "replay"]
KINDS: tuple[Kind, ...] = ("reset", "close", "stall", "cut", "delay", "replay")


@dataclass(frozen=True)
class Trouble:
    """Say what befalls one connection once more than `after` bytes go up to the forge.

    Upwards, it strikes at once: what crosses that mark does not reach the forge any more. Else it strikes when
    something comes down after that: the forge has heard, and its answer does not reach the client.

    reset: both ends get RST. close: both ends get FIN. stall: no byte passes any more, either way, and both ends stay
    open. cut: the same in one direction alone. delay: each further piece waits `seconds`. replay: once the connection
    has ended, all that went up goes up again over another, which stays open for `seconds`.
    """

    kind: Kind = "none"
    after: int = 0
    upwards: bool = True
    seconds: float = 0.05


@dataclass
class _Link:
    """One connection: the client's end, the forge's end, and what has become of them."""

    trouble: Trouble
    client: asyncio.StreamWriter
    forge: asyncio.StreamWriter
    asked: int = 0
    sent: list[bytes] = field(default_factory=list)
    struck: bool = False


class Proxy:
    """Listen on a port of its own and carry each connection to `target`; use as a context manager.

    `troubles` holds what befalls the next connections, one each; a connection that finds none is carried faithfully.
    `happened` lists the troubles that took place, `up` and `down` count the bytes that arrived.
    """

    def __init__(self, target: str, troubles: Iterable[Trouble] = ()) -> None:
        self.target = target
        self.troubles = deque(troubles)
        self.happened: list[Trouble] = []
        self.up = self.down = self.connections = 0
        self.replay_to: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._accept, "127.0.0.1", 0), self._loop)
        self.at = f"127.0.0.1:{server.result(10).sockets[0].getsockname()[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def drain(self) -> list[Trouble]:
        """Take what has happened, so that it is counted once."""
        taken, self.happened = self.happened, []
        return taken

    async def _end(self) -> None:
        running = asyncio.all_tasks() - {asyncio.current_task()}
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _accept(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        # asyncio reports a connection that was still open when the proxy ended
        with contextlib.suppress(asyncio.CancelledError):
            await self._carry(from_client, to_client)

    async def _carry(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.connections += 1
        trouble = self.troubles.popleft() if self.troubles else Trouble()
        try:
            from_forge, to_forge = await asyncio.open_connection(*_split(self.target))
        except OSError:
            _reset(to_client)
            return
        link = _Link(trouble, to_client, to_forge)
        # an idle direction must not keep a link whose other direction has ended
        await asyncio.wait(
            [
                asyncio.ensure_future(self._pass(link, from_client, to_forge, upwards=True)),
                asyncio.ensure_future(self._pass(link, from_forge, to_client, upwards=False)),
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
        for end in (to_client, to_forge):
            end.close()
        if trouble.kind == "replay":
            await self._replay(link)

    async def _pass(
        self, link: _Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, upwards: bool
    ) -> None:
        trouble = link.trouble
        with contextlib.suppress(OSError):
            while data := await source.read(_PIECE):
                link.asked += len(data) if upwards else 0
                if trouble.upwards == upwards and link.asked > trouble.after and not link.struck:
                    self._strike(link)
                if link.struck and trouble.kind in ("reset", "close"):
                    return
                if link.struck and (trouble.kind == "stall" or (trouble.kind == "cut" and trouble.upwards == upwards)):
                    continue
                if link.struck and trouble.kind == "delay":
                    await asyncio.sleep(trouble.seconds)
                self._count(link, data, upwards)
                sink.write(data)
                await sink.drain()

    def _strike(self, link: _Link) -> None:
        link.struck = True
        if link.trouble.kind not in ("none", "replay"):
            self.happened.append(link.trouble)
        if link.trouble.kind == "reset":
            _reset(link.client)
            _reset(link.forge)

    def _count(self, link: _Link, data: bytes, upwards: bool) -> None:
        if upwards:
            self.up += len(data)
            link.sent.append(data)
        else:
            self.down += len(data)

    async def _replay(self, link: _Link) -> None:
        """Send what went up once more, as somebody who recorded it would."""
        for address in self.replay_to or [self.target]:
            with contextlib.suppress(OSError):
                answers, to_forge = await asyncio.open_connection(*_split(address))
                for data in link.sent:
                    to_forge.write(data)
                    # the forge's windows open as it reads, and nobody here counts them
                    await asyncio.sleep(0.005)
                self.happened.append(link.trouble)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(answers.read(), link.trouble.seconds)
                _reset(to_forge)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST: lingering for 0 seconds throws away what is unsent."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
