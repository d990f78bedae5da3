"""What a monitoring system reads from a forge: its metrics, in Prometheus' format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from medforge import __version__
from medforge.aggregator.backup.newest import newest_backup
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.invitations import invitations
from medforge.aggregator.ledger.records import State
from medforge.aggregator.main_branch.fold_worker import FAULTS_OF_THE_WORKER
from medforge.aggregator.main_branch.transient import PARKED
from medforge.aggregator.server.call_record import CallRecord
from medforge.aggregator.server.ledger_watch import LedgerWatch
from medforge.aggregator.server.rate_limit import Limiter
from medforge.aggregator.server.readiness import Readiness
from medforge.errors import MedForgeError
from medforge.proto.certificates import ENDS_SOON
from medforge.proto.errors import ForgeFault

_FOLD_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)


class Tally:
    """Count what no ledger keeps, since the start of the process: calls, bytes, refusals, seconds of folds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._calls = Counter("medforge_calls", "Calls that ended", ["call", "code"], registry=self.registry)
        self._received = Counter(
            "medforge_received_bytes", "Bytes of requests, of calls that ended", ["call"], registry=self.registry
        )
        self._refusals = Counter(
            "medforge_refusals", "Calls that were refused, by the error", ["call", "kind"], registry=self.registry
        )
        self._folds = Histogram(
            "medforge_fold_seconds", "Seconds of a fold", buckets=_FOLD_SECONDS, registry=self.registry
        )

        self._sent = Counter(
            "medforge_sent_bytes", "Bytes of replies, of calls that ended", ["call"], registry=self.registry
        )
        self._work = Counter("medforge_cpu_seconds", "CPU seconds of calls and folds", ["work"], registry=self.registry)
        self._faults = Counter(
            "medforge_faults",
            "What the forge failed in by its own fault, each with its traceback in the log: an alarm",
            ["where"],
            registry=self.registry,
        )
        for where in FAULTS_OF_THE_WORKER:
            self._faults.labels(where)

    def note(self, call: CallRecord) -> None:
        """Count a call that has ended."""
        self._calls.labels(call.method, call.code).inc()
        self._received.labels(call.method).inc(call.received)
        self._sent.labels(call.method).inc(call.sent)
        self.worked(call.method, call.cpu_seconds)
        if call.kind == ForgeFault.__name__:
            self.fault(call.method)
        if call.kind:
            self._refusals.labels(call.method, call.kind).inc()

    def worked(self, work: str, seconds: float) -> None:
        """Count the CPU seconds of a call or a fold."""
        self._work.labels(work).inc(max(0.0, seconds))

    def fault(self, where: str) -> None:
        """Count something that failed by the forge's own fault."""
        self._faults.labels(where).inc()

    def folded(self, seconds: float) -> None:
        """Count a fold."""
        self._folds.observe(seconds)


class LedgerCollector(Collector):
    """Read from a forge's ledger what it says at the time of a scrape, so that a restart loses none of it."""

    def __init__(
        self,
        forge: Forge,
        limiter: Limiter,
        watch: LedgerWatch,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._forge = forge
        self._limiter = limiter
        self._watch = watch
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; without those of the ledger while it cannot be read."""
        settings = self._forge.settings
        yield InfoMetricFamily(
            "medforge_build",
            "What serves",
            {
                "version": __version__,
                "forge": settings.forge,
                "base": settings.base[:12],
                "method": "-".join((settings.method.method, settings.method.level, settings.method.coefficients)),
            },
        )
        open_calls = GaugeMetricFamily("medforge_open_calls", "Calls that are open", labels=["kind"])
        for kind, count in self._limiter.opened().items():
            open_calls.add_metric([kind], count)
        yield open_calls
        found: list[Metric] = []
        # a scrape does not wait for a database that has fallen silent
        if self._watch.answers:
            with suppress(SQLAlchemyError, MedForgeError):
                found = list(self._from_ledger())
        yield GaugeMetricFamily("medforge_ledger_up", "Whether the ledger can be read", 1 if found else 0)
        yield from found

    def _from_ledger(self) -> Iterator[Metric]:
        ledger = self._forge.ledger
        states = ledger.count_states()
        arrivals = GaugeMetricFamily("medforge_arrivals", "Arrivals, by where they stand", labels=["state"])
        for state in State:
            arrivals.add_metric([state.value], states.get(state, 0))
        yield arrivals
        parked = sum(arrival.reason == PARKED for arrival in ledger.holds().values())
        yield GaugeMetricFamily("medforge_parked_arrivals", "Held arrivals that this forge failed to fold", parked)
        yield CounterMetricFamily("medforge_commits", "Commits of the main branch", ledger.counts()[1])
        yield CounterMetricFamily("medforge_journal_entries", "Entries of the journal", ledger.journal_length())
        yield GaugeMetricFamily(
            "medforge_contributors_expiring", "Contributors whose kits end within 30 days", self._expiring()
        )
        backed_up = newest_backup(ledger)
        yield GaugeMetricFamily(
            "medforge_backup_timestamp_seconds",
            "Of when the newest backup is, in seconds since 1970; 0 where there is none",
            backed_up.timestamp() if backed_up else 0.0,
        )
        yield GaugeMetricFamily(
            "medforge_tombstones_behind",
            "Whether withdrawals or revocations could not be written where a restore does not undo them",
            self._forge.tombstones.behind,
        )
        waiting = ledger.unfolded(limit=1)
        age = (self._clock() - datetime.fromisoformat(waiting[0].accepted_at)).total_seconds() if waiting else 0.0
        yield GaugeMetricFamily(
            "medforge_oldest_waiting_seconds", "Age of the oldest arrival that waits to be folded", max(0.0, age)
        )
        accuracy = GaugeMetricFamily(
            "medforge_head_accuracy", "Accuracy of the head on a task's distilled data, 0 to 1", labels=["task"]
        )
        head = ledger.head()
        for task, score in sorted(head.metrics.items()) if head else ():
            accuracy.add_metric([task], score.acc)
        yield accuracy

    def _expiring(self) -> int:
        moment, known = self._clock(), invitations(self._forge.ledger)
        ends = (
            known[one.name].expires
            for one in self._forge.ledger.contributors()
            if one.revoked_at is None and one.name in known
        )
        return sum(end is not None and moment <= end < moment + ENDS_SOON for end in ends)


class MachineCollector(Collector):
    """Read at each scrape how much room the forge's disk has, and when its certificate ends."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def collect(self) -> Iterator[Metric]:
        """Return the metrics; without the certificate's where there is none."""
        free, reserve = self._readiness.disk()
        yield GaugeMetricFamily("medforge_disk_free_bytes", "Bytes that are free on the forge's disk", free)
        yield GaugeMetricFamily("medforge_disk_reserve_bytes", "Bytes that uploads leave free", reserve)
        ends = self._readiness.certificate_ends()
        if ends is not None:
            said = "When the certificate that callers know the forge by ends, in seconds since 1970"
            yield GaugeMetricFamily("medforge_certificate_expiry_timestamp_seconds", said, ends.timestamp())
        overlap = self._readiness.overlap_ends()
        if overlap is not None:
            said = "Until when kits of the CA before are good, in seconds since 1970"
            yield GaugeMetricFamily("medforge_ca_overlap_end_timestamp_seconds", said, overlap.timestamp())
        ahead = self._readiness.clock_ahead()
        if ahead is not None:
            said = "How far this machine's clock is ahead of most contributors', in seconds"
            yield GaugeMetricFamily("medforge_clock_ahead_seconds", said, ahead)
        ready = GaugeMetricFamily("medforge_ready", "Whether a check of /readyz holds", labels=["check"])
        for check in self._readiness.ready():
            ready.add_metric([check.name], check.ok)
        yield ready
