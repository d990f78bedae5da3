"""How much of a forge one caller may have at a time: messages per second, and calls that are open."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote

from medforge.aggregator.forge.policy import Limits
from medforge.errors import ForgeUnavailable
from medforge.proto.errors import TooFast

UPLOADS = "uploads"
STREAMS = "downloads, logs and watches"
SHORT = "short calls"

# Many, since one address may stand for many centres; a thread that waits costs next to nothing.
_SHORT_CALLS = 128
_SHORT_CALLS_PER_CALLER = 64
# Room for callers to be told that the forge is busy, and for the health and reflection services.
_SPARE_THREADS = 8
_CALLERS_REMEMBERED = 4096
# What one push asks in an instant: below this no push would ever come to its end.
_LEAST_AT_ONCE = 10.0
_ROUNDING = 1e-6
_IPV6_SITE = 64


def threads(limits: Limits) -> int:
    """Return how many threads answer every call that `limits` let be open at once, so that none waits for another."""
    return limits.open_uploads + limits.open_streams + _SHORT_CALLS + _SPARE_THREADS


def origin(peer: str) -> str:
    """Return who stands behind gRPC's name of a peer ("ipv4:192.0.2.1:555"): its address without the port.

    Of an IPv6 address only the /64 counts, which one machine can have whole.
    """
    kind, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].strip("[]")
    if kind == "ipv6":
        address, _, _ = host.partition("%")
        return str(ipaddress.ip_network((address, _IPV6_SITE), strict=False))
    return host or peer


class TokenBucket:
    """Hand out `rate` tokens per second, `burst` of them at once; who takes more owes them until they have come.

    The token bucket of RFC 2697 with one rate, and with debt. Not safe for several threads at once.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._tokens = burst
        self._at = clock()

    @property
    def tokens(self) -> float:
        """The tokens that are there; below 0 what is owed."""
        now = self._clock()
        self._tokens = min(self.burst, self._tokens + self.rate * max(0.0, now - self._at))
        self._at = now
        return self._tokens

    def take(self) -> float:
        """Take one token, and return the seconds until nothing is owed any more (0 where nothing is)."""
        self._tokens = self.tokens - 1
        return max(0.0, -self._tokens / self.rate)


class Limiter:
    """Hold every caller (a contributor's name, or over plaintext an address) to the policy's limits.

    Safe for any number of threads. A caller may send one second's worth of messages at once (10 at least). Beyond that,
    messages of an upload wait until they are due, so that a fast upload is slowed down and never refused. Calls do not
    wait, since waiting would take the threads that answer others: they are let through, on credit, until the caller is
    as far ahead again, and refused from there on.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = limits.messages_per_second
        self._burst = max(_LEAST_AT_ONCE, limits.messages_per_second)
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._caps = {
            UPLOADS: (limits.open_uploads, limits.open_uploads_per_contributor),
            STREAMS: (limits.open_streams, limits.open_streams_per_contributor),
            SHORT: (_SHORT_CALLS, _SHORT_CALLS_PER_CALLER),
        }
        self._open: dict[str, Counter[str]] = {kind: Counter() for kind in self._caps}
        self._at_once = limits.short_calls_per_contributor
        self._answering: Counter[str] = Counter()
        self._answered = threading.Condition()

    def count_call(self, caller: str) -> None:
        """Count a call against its caller's messages per second; raises TooFast for one that is far ahead of them."""
        with self._lock:
            bucket = self._bucket(caller)
            if bucket.tokens - 1 < -self._burst - _ROUNDING:
                raise TooFast(
                    f"{caller} sends more than the {self._rate:g} messages per second that this forge answers; "
                    f"wait a second and go on more slowly"
                )
            bucket.take()

    def count_message(self, caller: str) -> float:
        """Count a message of an upload, and return the seconds after which it may be answered."""
        with self._lock:
            return self._bucket(caller).take()

    @contextmanager
    def open(self, kind: str, caller: str) -> Iterator[None]:
        """Count a call as open; raises ForgeUnavailable where the caller, or all together, have as many as they may."""
        in_all, each = self._caps[kind]
        mine = self._open[kind]
        with self._lock:
            if mine[caller] >= each:
                raise ForgeUnavailable(
                    f"{caller} has {each} {kind} open at this forge, and no caller may have more; "
                    f"try again once one has ended"
                )
            if mine.total() >= in_all:
                raise ForgeUnavailable(f"the forge is busy with {in_all} {kind}; try again shortly")
            mine[caller] += 1
        try:
            yield
        finally:
            with self._lock:
                mine[caller] -= 1
                if not mine[caller]:
                    del mine[caller]

    @contextmanager
    def answering(self, caller: str) -> Iterator[None]:
        """Wait until few of a caller's short calls are being answered, and count one more meanwhile.

        However many threads a caller calls from, no more of them share the interpreter with others' calls.
        """
        with self._answered:
            self._answered.wait_for(lambda: self._answering[caller] < self._at_once)
            self._answering[caller] += 1
        try:
            yield
        finally:
            with self._answered:
                self._answering[caller] -= 1
                if not self._answering[caller]:
                    del self._answering[caller]
                self._answered.notify_all()

    def opened(self) -> dict[str, int]:
        """Count the calls that are open, by kind."""
        with self._lock:
            return {kind: callers.total() for kind, callers in self._open.items()}

    def _bucket(self, caller: str) -> TokenBucket:
        bucket = self._buckets.get(caller)
        if bucket is None:
            # who has not called for longest has long had its tokens back
            if len(self._buckets) >= _CALLERS_REMEMBERED:
                self._buckets.popitem(last=False)
            bucket = self._buckets[caller] = TokenBucket(self._rate, self._burst, self._clock)
        self._buckets.move_to_end(caller)
        return bucket
