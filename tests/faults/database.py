"""A ledger's database that is killed and that falls silent while a soak goes on."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from medforge.aggregator.ledger.database import LedgerUnavailable
from tests.faults.crew import Crew
from tests.faults.tally import Tally
from tests.postgres import Cluster
from tests.programs import Program, Server

FAMILY = "database"


class TroubledDatabase:
    """A PostgreSQL server that holds a soak's ledger; only its own workers may trouble it."""

    def __init__(self, cluster: Cluster) -> None:
        self.url = cluster.new_ledger()
        self._cluster = cluster
        self._guard = threading.RLock()

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Keep it free of faults for a while."""
        with self._guard:
            yield

    def trouble(self, crew: Crew, tally: Tally) -> None:
        """Be the worker of a soak that kills and freezes the server until it has had its share."""
        draw = crew.random(FAMILY)
        while not crew.over:
            crew.rest(draw.uniform(2, 6))
            if tally.wants(FAMILY):
                with self._guard:
                    tally.fault(FAMILY, self._strike(draw))

    def _strike(self, draw: random.Random) -> str:
        if draw.random() < 0.5:
            self._cluster.kill()
            time.sleep(draw.uniform(0, 3))
            self._cluster.start()
            return "killed and started again"
        self._cluster.freeze(True)
        try:
            time.sleep(draw.uniform(1, 10))
        finally:
            self._cluster.freeze(False)
        return "silent for some seconds"


def up_again(server: Server, fault: str | None = None) -> tuple[Program, bool]:
    """Start a forge's server, once more where its database does not answer, as what looks after services does.

    Gives the program, and whether it came to serve before its own fault ended it.
    """
    while True:
        program = server.start(fault)
        ready = server.wait_ready()
        if ready or program.exit_code == -signal.SIGKILL:
            return program, ready
        assert "Traceback" not in program.said(), program.said()
        assert program.exit_code == LedgerUnavailable.exit_code, program.said()
