"""What is said of a crowd: how many centres are where, how long it may still take, and what became of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from medforge.progress import spell_seconds
from medforge.simulation.centre_run import CentreRun, Stage
from medforge.simulation.crowd import few_names
from medforge.simulation.result import CentreResult

WINDOW_SECONDS = 300.0
REASONS = 5
_WORDS = {
    Stage.COMPUTING: "computing",
    Stage.READY: "ready to push",
    Stage.PUSHING: "pushing",
    Stage.WAITING: "to begin",
    Stage.DEAD: "did not arrive",
}


class Pace:
    """Estimate from the last five minutes how long a run may still take."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, now: float, done: int) -> None:
        """Note how many are done at this second.

        The pace is counted from the first that are: a run that goes on finds many at once, and any takes time to begin.
        """
        if not done:
            return
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] < now - WINDOW_SECONDS:
            self._seen.popleft()

    def left(self, remaining: int) -> float | None:
        """Return the seconds that so many more take at this pace; None before there is one."""
        if len(self._seen) < 2:
            return None
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        return None if last == first else (now - began) / (last - first) * remaining


def summary(centres: Sequence[CentreRun], decided: int, seconds: float | None) -> str:
    """Say how many of the centres are where; `decided` arrivals are merged or held, the rest takes so many seconds."""
    counts = Counter(centre.stage for centre in centres)
    more = [f"{counts[stage]} {words}" for stage, words in _WORDS.items() if counts[stage]]
    left = [] if seconds is None else [f"about {spell_seconds(seconds)} left"]
    there = f"{counts[Stage.ARRIVED]} of {len(centres)} arrived, {decided} of them merged or held"
    return "; ".join([there, *([", ".join(more)] if more else []), *left])


def fates_counted(centres: Sequence[CentreResult]) -> list[str]:
    """Say of how many centres the forge holds the branch back, and how many did not arrive, reason by reason."""
    held = _by_reason({one.name: one.held for one in centres if one.held})
    gone = _by_reason({one.name: one.why_not or "" for one in centres if not one.arrived and not one.held})
    found = [f"the forge holds {len(names)} branches back, {reason} ({few_names(names)})" for reason, names in held]
    return found + [f"{len(names)} centres did not arrive, {reason} ({few_names(names)})" for reason, names in gone]


def _by_reason(reasons: dict[str, str]) -> list[tuple[str, list[str]]]:
    """Put together who has the same reason but for names and numbers in it, the most frequent first."""
    kinds: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        kinds.setdefault(" ".join(word for word in reason.split() if word.isalpha()), []).append(name)
    often = sorted(kinds.values(), key=lambda names: -len(names))
    told = [(f"for example: {reasons[names[0]]}", names) for names in often[:REASONS]]
    rest = [name for names in often[REASONS:] for name in names]
    return told + ([("for other reasons", rest)] if rest else [])
