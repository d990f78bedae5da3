"""A cable between two network namespaces with weather on it: packets get lost, late, slow, or too large to pass."""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.networks import FORGE, SITE, Network, named_namespaces

# linux/if_tun.h: TUNSETIFF, IFF_TUN | IFF_NO_PI
_SET, _TUN = 0x400454CA, 0x0001 | 0x1000
_LONGEST = 1 << 16
_QUEUE = 64 << 10


@dataclass(frozen=True)
class Weather:
    """Say what befalls packets: the share that is lost, seconds each way, bits per second, and the largest that pass.

    ``to_forge`` and ``to_site`` are in bytes, of IP packets; larger ones vanish without a word.
    """

    loss: float = 0.0
    seconds: float = 0.0
    bits: float = 1e9
    to_forge: int = _LONGEST
    to_site: int = _LONGEST


class Cable:
    """Carry packets between two TUN devices; `weather` may change at any time."""

    def __init__(self, forge: int, site: int) -> None:
        self.weather = Weather()
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._carry, args=(site, forge, "to_forge"), daemon=True),
            threading.Thread(target=self._carry, args=(forge, site, "to_site"), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _carry(self, source: int, sink: int, largest: str) -> None:
        chance = random.Random(0)
        under_way: list[tuple[float, int, bytes]] = []
        free_at, count = 0.0, 0
        while not self._ended.is_set():
            wait = min(0.1, max(0.0, under_way[0][0] - time.monotonic())) if under_way else 0.1
            if select.select([source], [], [], wait)[0]:
                packet, moment, weather = os.read(source, _LONGEST), time.monotonic(), self.weather
                queued = max(0.0, free_at - moment) * weather.bits / 8
                if len(packet) <= getattr(weather, largest) and chance.random() >= weather.loss and queued < _QUEUE:
                    free_at = max(free_at, moment) + 8 * len(packet) / weather.bits
                    count += 1
                    heapq.heappush(under_way, (free_at + weather.seconds, count, packet))
            while under_way and under_way[0][0] <= time.monotonic():
                os.write(sink, heapq.heappop(under_way)[2])


@contextmanager
def cable() -> Iterator[tuple[Network, Cable]]:
    """Two network stacks that reach each other through a cable with weather. Needs root, iproute2 and /dev/net/tun."""
    if not Path("/dev/net/tun").exists():
        pytest.skip("a cable with weather needs /dev/net/tun")
    with named_namespaces() as (forge, site):
        ends = []
        try:
            for name, own, other in ((forge, FORGE, SITE), (site, SITE, FORGE)):
                device = f"mt{os.getpid()}{name[-1]}"[:15]
                ends.append(os.open("/dev/net/tun", os.O_RDWR))
                fcntl.ioctl(ends[-1], _SET, struct.pack("16sH", device.encode(), _TUN))
                _must("link", "set", device, "netns", name)
                _must("-n", name, "addr", "add", own, "peer", other, "dev", device)
                _must("-n", name, "link", "set", device, "up")
            carrying = Cable(*ends)
            try:
                inside = [("ip", "netns", "exec", name) for name in (forge, site)]
                yield Network(inside[0], inside[1], "0.0.0.0:50051", f"{FORGE}:50051"), carrying
            finally:
                carrying.close()
        finally:
            for end in ends:
                os.close(end)


def _must(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"this machine makes no such cable: {done.stderr.decode().strip()}")
