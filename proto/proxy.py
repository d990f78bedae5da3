"""Which proxy a connection goes through: read from the environment, and told to gRPC."""

from __future__ import annotations

import base64
import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from medforge.errors import ForgeUnavailable, InvalidInput
from medforge.proto.address import is_loopback, join_address, split_address

# in gRPC's order; it reads those in lower case only, while curl and Python read the others too
_VARIABLES = ("grpc_proxy", "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY")
_EXCEPTIONS = ("no_grpc_proxy", "no_proxy", "NO_PROXY")
_LONGEST_ANSWER = 1 << 16


@dataclass(frozen=True)
class Proxy:
    """Name an HTTP proxy and the environment variable that asks for it; `url` may hold a password."""

    variable: str
    url: SplitResult

    @property
    def address(self) -> str:
        """HOST:PORT of the proxy."""
        return join_address(self.url.hostname or "", self.url.port or 80)

    @property
    def usable(self) -> bool:
        """Whether gRPC can go through it: it speaks HTTP to proxies, and nothing else."""
        try:
            return self.url.scheme == "http" and bool(self.url.hostname) and self.url.port != 0
        except ValueError:
            return False


def proxy_for(host: str, environment: Mapping[str, str] = os.environ) -> Proxy | None:
    """Return the proxy that a host is reached through; None where no usable one is set, or the host is excepted."""
    asked = _asked_for(host, environment)
    return asked if asked is not None and asked.usable else None


def proxy_options(host: str, environment: Mapping[str, str] = os.environ) -> tuple[tuple[str, str | int], ...]:
    """Return the options by which a gRPC channel goes through the same proxy, or through none."""
    proxy = proxy_for(host, environment)
    return (("grpc.enable_http_proxy", 0),) if proxy is None else (("grpc.http_proxy", proxy.url.geturl()),)


def check_supported(host: str, environment: Mapping[str, str] = os.environ) -> None:
    """Raise InvalidInput if the environment asks for a proxy that gRPC cannot use."""
    asked = _asked_for(host, environment)
    if asked is not None and not asked.usable:
        raise InvalidInput(f"{asked.variable} asks for a proxy that gRPC cannot use; write it as http://HOST:PORT")


def _asked_for(host: str, environment: Mapping[str, str]) -> Proxy | None:
    """Return what the first variable that is set names, usable or not; one that is set to nothing asks for none."""
    variable = next((name for name in _VARIABLES if name in environment), None)
    written = environment[variable].strip() if variable is not None else ""
    if variable is None or not written or is_loopback(host) or _is_excepted(host, environment):
        return None
    try:
        return Proxy(variable, urlsplit(written if "://" in written else f"http://{written}"))
    except ValueError:
        # brackets that do not close, say: asked for, and not usable
        return Proxy(variable, urlsplit(""))


def connect(at: str, seconds: float) -> socket.socket:
    """Open a TCP connection to HOST:PORT, through the proxy where there is one.

    Raises OSError where no connection comes about, ForgeUnavailable where the proxy refuses to make one.
    """
    host, port = split_address(at)
    proxy = proxy_for(host)
    if proxy is None:
        return socket.create_connection((host, port), seconds)
    connection = socket.create_connection(split_address(proxy.address), seconds)
    try:
        _ask_for(at, proxy, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _ask_for(at: str, proxy: Proxy, connection: socket.socket) -> None:
    """Ask a proxy for a tunnel (RFC 9110, section 9.3.6)."""
    request = f"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n"
    if proxy.url.username is not None:
        credentials = f"{unquote(proxy.url.username)}:{unquote(proxy.url.password or '')}".encode()
        request += f"Proxy-Authorization: Basic {base64.b64encode(credentials).decode()}\r\n"
    connection.sendall(f"{request}\r\n".encode())
    answer = b""
    # One byte at a time: what follows the answer's empty line belongs to the tunnel.
    while not answer.endswith(b"\r\n\r\n") and len(answer) < _LONGEST_ANSWER:
        byte = connection.recv(1)
        if not byte:
            break
        answer += byte
    line = answer.split(b"\r\n", 1)[0].decode(errors="replace")
    if line.split(" ")[1:2] != ["200"]:
        raise ForgeUnavailable(
            f"the proxy {proxy.address} ({proxy.variable}) does not connect to {at} ({line or 'no answer'}); "
            f"let it through there, or name the forge's host in no_proxy"
        )


def _is_excepted(host: str, environment: Mapping[str, str]) -> bool:
    variable = next((name for name in _EXCEPTIONS if name in environment), None)
    entries = [entry.strip() for entry in environment.get(variable or "", "").split(",")]
    return any(_matches(host, entry) for entry in entries if entry)


def _matches(host: str, entry: str) -> bool:
    # by its end, as gRPC does; `*` and a dot in front are what curl and Python know
    if entry == "*" or host.lower() == entry.lower().lstrip(".") or host.lower().endswith(entry.lower()):
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
