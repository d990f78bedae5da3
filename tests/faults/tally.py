"""Count what a soak has done, from many threads."""

import threading
from collections import Counter
from collections.abc import Mapping


class Tally:
    """Count the faults that have been seen to happen, and what else did.

    `shares` says how many of all faults each family is to have, as parts; a family that has had its share wants no
    more.
    """

    def __init__(self, faults: int, shares: Mapping[str, int]) -> None:
        parts = sum(shares.values())
        self._wanted = {family: -(-faults * share // parts) for family, share in shares.items()}
        self._left = dict(self._wanted)
        self._lock = threading.Lock()
        self.by_kind: Counter[str] = Counter()
        self.numbers: Counter[str] = Counter()

    def wants(self, family: str) -> bool:
        """Say whether a family has not had its share yet."""
        return self._left[family] > 0

    def ahead(self, family: str) -> bool:
        """Say whether a family has had more of its share than the server has of its own."""
        left, server = (max(0, self._left[name]) / self._wanted[name] for name in (family, "server"))
        return left < server

    @property
    def done(self) -> bool:
        """Say whether every family has had its share."""
        return not any(self.wants(family) for family in self._left)

    def fault(self, family: str, kind: str) -> None:
        """Count a fault that has been seen to happen."""
        with self._lock:
            self._left[family] -= 1
            self.by_kind[f"{family}: {kind}"] += 1

    def add(self, what: str, count: int = 1) -> None:
        """Count anything else."""
        with self._lock:
            self.numbers[what] += count
