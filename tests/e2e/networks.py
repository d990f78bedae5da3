"""Where a forge and a hospital can stand apart: two loopback addresses, or two network namespaces joined by a cable."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

FORGE, SITE = "10.213.77.1", "10.213.77.2"


@dataclass(frozen=True)
class Network:
    """How a command is put on the forge's machine or on the hospital's, and where the one reaches the other."""

    on_forge: tuple[str, ...]
    on_site: tuple[str, ...]
    listen: str
    address: str


@contextmanager
def loopback() -> Iterator[Network]:
    """The forge listens on every address; the hospital calls it at 127.0.0.2."""
    with socket.create_server(("0.0.0.0", 0)) as free:
        port = free.getsockname()[1]
    yield Network((), (), f"0.0.0.0:{port}", f"127.0.0.2:{port}")


@contextmanager
def named_namespaces() -> Iterator[tuple[str, str]]:
    """The names of two network stacks with nothing but loopback. Needs root and iproute2."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("two network namespaces need root and the `ip` command")
    forge, site = (f"medforge-{side}-{os.getpid()}" for side in ("f", "s"))
    try:
        for name in (forge, site):
            if _ip("netns", "add", name).returncode:
                pytest.skip("this machine does not let us make network namespaces")
            _must("-n", name, "link", "set", "lo", "up")
        yield forge, site
    finally:
        for name in (forge, site):
            _ip("netns", "delete", name)


@contextmanager
def namespaces() -> Iterator[Network]:
    """Two network stacks, each with nothing but its end of the cable."""
    with named_namespaces() as (forge, site):
        ends = (f"mf{os.getpid()}f"[:15], f"mf{os.getpid()}s"[:15])
        _must("link", "add", ends[0], "netns", forge, "type", "veth", "peer", "name", ends[1], "netns", site)
        for name, end, address in ((forge, ends[0], FORGE), (site, ends[1], SITE)):
            _must("-n", name, "addr", "add", f"{address}/30", "dev", end)
            _must("-n", name, "link", "set", end, "up")
        inside = [("ip", "netns", "exec", name) for name in (forge, site)]
        yield Network(inside[0], inside[1], "0.0.0.0:50051", f"{FORGE}:50051")


def _ip(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["ip", *arguments], check=False, capture_output=True)


def _must(*arguments: str) -> None:
    done = _ip(*arguments)
    assert done.returncode == 0, done.stderr.decode()
