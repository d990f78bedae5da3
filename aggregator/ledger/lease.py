"""The right to write a ledger: one process at a time has it, and notices when it has it no more."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.ledger.database import LEASE_FACT, Database, LeaseLost
from medforge.aggregator.ledger.guards import DEADLINE, guard_of
from medforge.aggregator.ledger.journal import now
from medforge.errors import InvalidInput
from medforge.files import canonical_json, parse_json

UNSURE_AFTER = 2 * DEADLINE
"""Seconds without a proof of the lease after which nothing is answered."""


class Lease:
    """Hold a ledger for this process: a guard keeps others away, and a token in the ledger stops who was overtaken.

    Every write of `ledger` checks, in its own transaction, that the token is still this process's; so two processes
    never both write, whatever became of their guards, their clocks or the network between them.
    """

    def __init__(self, ledger: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._guard = guard_of(ledger.url)
        self._clock = clock
        self._proved = -UNSURE_AFTER
        self._lost = False

    def keep_others_out(self) -> None:
        """Let no other process take the ledger, and write nothing; raises InvalidInput where another has it."""
        if not self._guard.take():
            raise InvalidInput(
                f"another process serves the ledger {self._ledger.name}{self._holder()}; stop that one first, two "
                f"servers of one forge would each give receipts"
            )

    def take(self) -> None:
        """Take the ledger; raises InvalidInput, with nothing written, where another process has it."""
        self.keep_others_out()
        me = {"host": socket.gethostname(), "process": os.getpid(), "since": now(), "token": str(uuid4())}
        self._ledger.take(canonical_json(me).decode())
        self._proved = self._clock()

    @property
    def held(self) -> bool:
        """Say whether the lease was proved within the last seconds."""
        return not self._lost and self._clock() - self._proved < UNSURE_AFTER

    @property
    def lost(self) -> bool:
        """Say whether another process has the ledger now: it does not come back."""
        return self._lost

    def check(self) -> None:
        """Raise LeaseLost unless the lease is held."""
        if not self.held:
            raise LeaseLost(
                "the forge is not sure that it alone has its ledger; what it acknowledged is safe, try again later"
            )

    def renew(self) -> None:
        """Prove the lease again, taking the guard anew where its connection was cut and nobody came in between.

        Raises SQLAlchemyError where the database does not say; the lease is then held for some seconds more.
        """
        begun = self._clock()
        if not (self._guard.holds() or self._guard.take()) or self._ledger.fact(LEASE_FACT) != self._ledger.token:
            self._lost = True
            return
        self._proved = begun

    def release(self) -> None:
        """Let another process take the ledger."""
        self._lost = True
        self._guard.release()

    def _holder(self) -> str:
        try:
            said = parse_json(self._ledger.fact(LEASE_FACT) or "{}")
            return f" (process {said['process']} on {said['host']}, since {said['since']})"
        except (SQLAlchemyError, ValueError, LookupError, TypeError):
            return ""
