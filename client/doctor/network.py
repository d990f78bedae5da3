"""Whether a forge can be reached at all: its name, a proxy, its port, TLS."""

from __future__ import annotations

import os
import socket

from medforge.client.doctor.diagnosis import Diagnosis, problem, skipped
from medforge.errors import ForgeUnavailable, InvalidInput, MedForgeError
from medforge.proto.address import split_address
from medforge.proto.connection import Connection
from medforge.proto.handshake import handshake
from medforge.proto.proxy import check_supported, connect, proxy_for

SECONDS = 5.0
"""Seconds that a check waits for an answer."""
_UNREAD = ("ALL_PROXY", "all_proxy")


def check_name(at: str) -> Diagnosis:
    """Resolve the forge's host name."""
    host, port = split_address(at)
    if _is_literal(host):
        return skipped("DNS", f"{host} is an address, not a name")
    if proxy_for(host) is not None:
        return skipped("DNS", "the proxy resolves the name")
    try:
        places = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        return Diagnosis(
            "DNS",
            "problem",
            f"no address is known for {host} ({error.strerror})",
            "check the spelling; have the name added to the DNS that this machine asks",
        )
    return Diagnosis("DNS", "ok", f"{host} is {', '.join(sorted(places))}")


def check_proxy(at: str) -> Diagnosis:
    """See whether the forge is called through a proxy, and whether that one lets it."""
    host, _ = split_address(at)
    try:
        check_supported(host)
    except InvalidInput as error:
        return problem("proxy", error)
    proxy = proxy_for(host)
    if proxy is None:
        unread = [name for name in _UNREAD if os.environ.get(name)]
        if unread and not any(name in os.environ for name in ("no_proxy", "no_grpc_proxy")):
            return Diagnosis(
                "proxy",
                "warning",
                f"{unread[0]} is set, but it is not read here, and the forge is called directly",
                "if this site needs the proxy, set https_proxy to http://HOST:PORT",
            )
        return Diagnosis("proxy", "ok", f"none; {at} is called directly")
    try:
        connect(at, SECONDS).close()
    except ForgeUnavailable as error:
        return problem("proxy", error)
    except OSError as error:
        return Diagnosis(
            "proxy",
            "problem",
            f"the proxy {proxy.address} ({proxy.variable}) cannot be reached ({error.strerror or error})",
            f"correct {proxy.variable}, or name {host} in no_proxy",
        )
    return Diagnosis("proxy", "ok", f"{at} is called through {proxy.address} ({proxy.variable})")


def check_tcp(at: str) -> Diagnosis:
    """Open a connection to the forge's port."""
    host, port = split_address(at)
    try:
        connect(at, SECONDS).close()
    except ConnectionRefusedError:
        return Diagnosis(
            "TCP", "problem", f"nothing listens on port {port} of {host}", "check the port; ask whether the forge is up"
        )
    except TimeoutError:
        return Diagnosis(
            "TCP",
            "problem",
            f"{at} does not answer within {SECONDS:g} s",
            f"have outgoing TCP to port {port} of {host} opened in the firewall",
        )
    except OSError as error:
        return Diagnosis("TCP", "problem", f"no connection to {at} ({error.strerror or error})", "check the network")
    except ForgeUnavailable as error:
        return problem("TCP", error)
    return Diagnosis("TCP", "ok", f"port {port} of {host} is open")


def check_tls(connection: Connection) -> Diagnosis:
    """Meet the forge over TLS, each proving itself to the other."""
    if connection.tls is None:
        return skipped("TLS", "without a kit, or with --plaintext, the connection is not encrypted")
    try:
        peer = handshake(connection.address, connection.tls, SECONDS)
    except MedForgeError as error:
        return problem("TLS", error)
    return Diagnosis("TLS", "ok", f"{peer.version}; the forge's certificate names the kit's forge")


def _is_literal(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
            return True
        except OSError:
            continue
    return False
