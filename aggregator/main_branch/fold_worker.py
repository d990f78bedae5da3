"""The thread that folds: one arrival after another, strictly by arrival number."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.logs import about, in_words
from medforge.aggregator.main_branch.fold_attempts import MOST, FoldAttempts, deadly
from medforge.aggregator.main_branch.transient import PARKED, is_transient, reason_of
from medforge.aggregator.main_branch.wakeup import Wakeup
from medforge.errors import MedForgeError

_log = logging.getLogger(__name__)
_IDLE_SECONDS = 1.0
_LONGEST_PAUSE = 60.0
_TRIES = 3
_FOLD, _SETTLE, _REVIEW = "fold", "settle", "review"
FAULTS_OF_THE_WORKER = (_FOLD, _SETTLE, _REVIEW)
"""Where the worker may fail by the forge's own fault."""


@dataclass(frozen=True)
class Told:
    """Name who is told what a worker does.

    `end` is called when the thread ends, however it ends, `fold` with the seconds that a fold took, `fault` with where
    something failed by the forge's own fault (`FAULTS_OF_THE_WORKER`).
    """

    end: Callable[[], None]
    fold: Callable[[float], None] = lambda seconds: None
    fault: Callable[[str], None] = lambda where: None


class FoldWorker(threading.Thread):
    """Fold whatever waits in the ledger, and go on whatever happens.

    `fold` folds one arrival, by its number; what it did is read from the ledger. Before each fold, `review` decides
    what the reviews there are lead to (folding does not wait for one that fails), and `settle` takes out of the main
    branch who was withdrawn, and puts back who is back (or holds who cannot come back). A fold that raises because the
    machine lacks something (disk, memory, database) is tried again after a growing pause, and nothing overtakes it; so
    is a settling that raises. A fold that a branch is to blame for (a MedForgeError) is held with that reason: it stays
    in the ledger, the log and the status show it, and the next arrival is folded. A fold that raises what nobody
    expected is the forge's fault: it is tried again, each time with its traceback in the log, then parked with a
    sentence that blames nobody, and released when a worker next starts. What ends the process itself, as a kill for
    lack of memory, is counted by `attempts`, and held after some. `committed` is notified after each commit.
    """

    def __init__(
        self,
        ledger: Ledger,
        fold: Callable[[int], object],
        settle: Callable[[], Sequence[Commit]],
        arrived: Wakeup,
        committed: Wakeup,
        attempts: FoldAttempts,
        told: Told,
        first_pause: float = 1.0,
        review: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(name="fold", daemon=True)
        self._ledger = ledger
        self._fold = fold
        self._settle = settle
        self._arrived = arrived
        self._committed = committed
        self._attempts = attempts
        self._told = told
        self._first_pause = first_pause
        self._review = review
        self._review_fault = ""
        self._stopping = threading.Event()
        # how often the fold of an arrival, by its number, has failed by the forge's own fault; None before the first
        self._faults: Counter[int] | None = None

    def stop(self) -> None:
        """Ask the thread to end after the fold it is in."""
        self._stopping.set()
        self._arrived.notify()

    def run(self) -> None:
        """Fold until stopped."""
        pause = self._first_pause
        try:
            while not self._stopping.is_set():
                try:
                    self._step()
                    pause = self._first_pause
                except Exception as error:
                    if not is_transient(error):
                        self._told.fault(_SETTLE)
                        _log.exception("the main branch cannot settle; nothing is folded until it does")
                    _log.warning("cannot fold just now (%s); trying again in %g s", in_words(error), pause)
                    self._stopping.wait(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
        except Exception:
            _log.exception("the fold worker ended; branches are still received, restart the forge to fold them")
        finally:
            self._told.end()

    def _step(self) -> None:
        notified = self._arrived.count
        faults = self._release_parked() if self._faults is None else self._faults
        self._decide()
        for commit in self._settle():
            fields = about(commit.kind, contributor=commit.contributor, arrival=commit.arrival, commit=commit.digest)
            _log.info("%s arrival %d in commit %s", commit.kind, commit.arrival, commit.digest, extra=fields)
            self._committed.notify()
        waiting = self._ledger.unfolded(limit=1)
        if not waiting:
            self._arrived.wait(notified, _IDLE_SECONDS)
            return
        arrival = waiting[0]
        if self._is_deadly(arrival):
            return
        begun = time.monotonic()
        try:
            self._fold(arrival.number)
        except Exception as error:
            if is_transient(error):
                raise
            if not isinstance(error, MedForgeError):
                self._told.fault(_FOLD)
            if isinstance(error, MedForgeError) or not self._try_again(arrival, error, faults):
                self._hold(arrival, error)
            return
        finally:
            self._attempts.end()
        folded = self._ledger.commit_of(arrival.number)
        if folded is None or arrival.number not in folded[1].members:
            self._hold(arrival, MedForgeError("its fold ended without a commit; accept it to fold it again"))
            return
        seconds = time.monotonic() - begun
        self._told.fold(seconds)
        _log.info(
            "folded arrival %d (%s, %s) into commit %s",
            arrival.number,
            arrival.contributor,
            arrival.task,
            folded[1].digest,
            extra=_fields("folded", arrival, commit=folded[1].digest, seconds=round(seconds, 3)),
        )
        self._committed.notify()

    def _is_deadly(self, arrival: Arrival) -> bool:
        """Enter that a fold begins; hold instead an arrival whose folds have ended the process too often."""
        earlier = self._attempts.begin(arrival.number)
        if earlier:
            _log.error(
                "arrival %d: this forge's process ended %d times while it folded it; after %d times it is held",
                arrival.number,
                earlier,
                MOST,
                extra=_fields("fault", arrival, tries=earlier),
            )
            self._told.fault(_FOLD)
        if earlier < MOST:
            return False
        self._hold(arrival, MedForgeError(deadly(earlier)))
        self._attempts.end()
        return True

    def _release_parked(self) -> Counter[int]:
        """Give the branches that an earlier process could not fold another try: the software may have been mended."""
        for arrival in self._ledger.arrivals(State.HELD):
            if arrival.reason == PARKED:
                self._ledger.release(arrival.number)
        self._faults = Counter()
        return self._faults

    def _try_again(self, arrival: Arrival, error: Exception, faults: Counter[int]) -> bool:
        """Say whether a fold that failed by the forge's own fault is worth another try; if so, raise the alarm."""
        now = self._ledger.arrival(arrival.number)
        faults[arrival.number] += 1
        tries = faults[arrival.number]
        if now is None or now.state is not State.RECEIVED or tries >= _TRIES:
            return False
        fields = _fields("fault", arrival, tries=tries)
        _log.error("arrival %d cannot be folded, by this forge's fault", arrival.number, exc_info=error, extra=fields)
        self._stopping.wait(min(self._first_pause * 2.0 ** (tries - 1), _LONGEST_PAUSE))
        return True

    def _decide(self) -> None:
        try:
            self._review()
            self._review_fault = ""
        except Exception as error:
            if is_transient(error):
                raise
            # it is tried again every second, and said once
            if self._review_fault != repr(error):
                self._told.fault(_REVIEW)
                _log.exception("reviews cannot be judged; what is stable stays, and folding goes on")
            self._review_fault = repr(error)

    def _hold(self, arrival: Arrival, error: Exception) -> None:
        now = self._ledger.arrival(arrival.number)
        if now is not None and now.state not in (State.RECEIVED, State.FOLDED):
            fields = _fields(now.state.value, now, reason=now.reason)
            _log.info("arrival %d is %s: %s", now.number, now.state.value, now.reason, extra=fields)
            return
        if now is not None and now.state is State.FOLDED:
            _log.error("arrival %d is folded, but what follows the fold failed", arrival.number, exc_info=error)
            self._committed.notify()
            return
        reason = reason_of(error)
        self._ledger.hold(arrival.number, reason)
        fields = _fields("held", arrival, reason=reason)
        # what was refused is explained by its sentence; only a fault is traced
        expected = isinstance(error, MedForgeError)
        _log.log(
            logging.WARNING if expected else logging.ERROR,
            "arrival %d (branch %s) is held: %s" if expected else "arrival %d (branch %s) is parked: %s",
            arrival.number,
            arrival.branch,
            reason,
            exc_info=None if expected else error,
            extra=fields,
        )


def _fields(event: str, arrival: Arrival, **more: object) -> dict[str, object]:
    return about(event, contributor=arrival.contributor, arrival=arrival.number, branch=arrival.branch, **more)
