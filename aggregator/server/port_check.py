"""Whether an address can be listened on, found out before anything slow is begun."""

from __future__ import annotations

import errno
import socket

from medforge.errors import InvalidInput
from medforge.proto.address import split_address


def check_free(listen: str, option: str = "--listen") -> None:
    """Bind HOST:PORT for a moment; raise InvalidInput saying why it cannot be listened on.

    ``option`` is the one that chooses it. gRPC itself does not say why a bind failed.
    """
    host, port = split_address(listen)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except socket.gaierror as error:
        raise InvalidInput(
            f"cannot listen on {listen}: no host is called {host}; choose another with {option}"
        ) from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InvalidInput(
                f"port {port} on {host} is in use; stop what listens there, or choose another with {option}"
            ) from error
        raise InvalidInput(f"cannot listen on {listen} ({error.strerror}); choose another with {option}") from error
