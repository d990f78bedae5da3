"""Whether the ledger answers, known without waiting for it."""

from __future__ import annotations

from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.schema import SCHEMA_FACT
from medforge.aggregator.server.watch import Watch

_EVERY_SECONDS = 2.0
_SILENT_SECONDS = 6.0


class LedgerWatch(Watch):
    """Ask the ledger for one row every few seconds, and remember how that went."""

    def __init__(self, ledger: Ledger, every: float = _EVERY_SECONDS, silent: float = _SILENT_SECONDS) -> None:
        super().__init__("ledger watch", every, silent)
        self._ledger = ledger
        self._answered = True

    @property
    def answers(self) -> bool:
        """Say whether the ledger answered when it was last asked, and no question has been open for too long."""
        return self._answered and not self.late

    def ask(self) -> None:
        """Ask for one row."""
        try:
            self._ledger.fact(SCHEMA_FACT)
        except SQLAlchemyError:
            self._answered = False
        else:
            self._answered = True
