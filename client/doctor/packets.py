"""Whether full-size packets pass between a centre and its forge: small ones may pass where they do not."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

from medforge.client.doctor.diagnosis import Diagnosis, skipped
from medforge.errors import ForgeUnavailable, MedForgeError
from medforge.proto.address import split_address
from medforge.proto.connection import Connection
from medforge.proto.proxy import proxy_for
from medforge.proto.remote import RemoteForge

# more than two packets of 1,500 bytes, and little enough for the slowest line
_BYTES = 4 << 10
# what every path must carry (RFC 9293, section 3.7.1)
_SMALL_SEGMENT = 536
_TRIED = (
    (0, 0, "the greeting"),
    (_BYTES, 0, f"{_BYTES >> 10} KiB to the forge"),
    (0, _BYTES, f"{_BYTES >> 10} KiB from the forge"),
)
_FIX = (
    "lower the MTU of this machine's network device (`ip link set dev DEVICE mtu 1280`), and have whoever runs the "
    "network or the VPN let ICMP's `fragmentation needed` through"
)


def check_packets(connection: Connection, seconds: float) -> Diagnosis:
    """Send full-size packets to a forge and have it send some back; what is lost must pass in small packets.

    Each may take ``seconds``.
    """
    try:
        for sent, wanted, what in _TRIED:
            if not _passes(connection, sent, wanted, seconds):
                return _compared(connection, sent, wanted, what, seconds)
    except MedForgeError:
        # one of 0.1.0 knows no such call
        return skipped("packets", "the forge does not answer this caller, or no such call")
    return Diagnosis("packets", "ok", f"full-size packets pass in both directions ({_BYTES >> 10} KiB)")


def _compared(connection: Connection, sent: int, wanted: int, what: str, seconds: float) -> Diagnosis:
    if proxy_for(split_address(connection.address)[0]) is not None:
        return skipped("packets", f"{what} got no answer, and a proxy stands in between")
    with _in_small_packets(connection.address, seconds) as at:
        if not _passes(replace(connection, address=at), sent, wanted, seconds):
            return skipped("packets", "the forge does not answer, whatever the size")
    said = f"{what} passes in packets of {_SMALL_SEGMENT} bytes and gets lost in larger ones (MTU)"
    return Diagnosis("packets", "problem", said, _FIX)


def _passes(connection: Connection, sent: int, wanted: int, seconds: float) -> bool:
    # a connection of its own each time: what was lost holds up all that follows it
    with RemoteForge(connection, seconds) as forge:
        try:
            forge.echo(sent, wanted)
        except ForgeUnavailable:
            return False
    return True


@contextlib.contextmanager
def _in_small_packets(at: str, seconds: float) -> Iterator[str]:
    """Relay one connection from an address on this machine to a forge; neither end sends it in large packets."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as opened:

        def relay() -> None:
            with contextlib.suppress(OSError):
                near = opened.enter_context(listener.accept()[0])
                far = opened.enter_context(_connected(at, seconds))
                threading.Thread(target=_pump, args=(far, near), daemon=True).start()
                _pump(near, far)

        threading.Thread(target=relay, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def _connected(at: str, seconds: float) -> socket.socket:
    """Open a TCP connection that tells its peer, before it begins, to send small segments, and sends such itself."""
    host, port = split_address(at)
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    connection = socket.socket(family, kind, protocol)
    connection.settimeout(seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SMALL_SEGMENT)
    connection.connect(place)
    return connection


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 14):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
