"""Where a forge listens: HOST:PORT."""

from __future__ import annotations

import ipaddress

from medforge.errors import InvalidInput


def is_loopback(host: str) -> bool:
    """Say whether a host is this very machine by any of its loopback addresses, so that no wire is involved."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def split_address(address: str) -> tuple[str, int]:
    """Split HOST:PORT (IPv6 as [HOST]:PORT); raise InvalidInput unless the port lies in 0…65535."""
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise InvalidInput(f"{address!r} is not an address; write HOST:PORT, such as 127.0.0.1:50051")
    if ":" in host and not bracketed:
        raise InvalidInput(f"{address!r} is not an address; write an IPv6 host in brackets, such as [::1]:50051")
    return (host[1:-1] if bracketed else host), int(port)


def join_address(host: str, port: int) -> str:
    """Write HOST:PORT, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
