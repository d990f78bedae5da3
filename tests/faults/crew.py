"""The workers of a soak, side by side until it has had its faults; where one of them fails, all stop."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from medforge.seeds import derive
from tests.faults.tally import Tally

TICK = 0.1


class Crew:
    """Run workers until there is `enough`, one of them fails, or the soak has taken as long as none should.

    `name` and `seed` are what all their draws come from.
    """

    def __init__(self, name: str, seed: int, tally: Tally, seconds: float, enough: Callable[[], bool]) -> None:
        self._name = name
        self._seed = seed
        self._tally = tally
        self._enough = enough
        self._end = time.monotonic() + seconds
        self._failed = threading.Event()

    def work(self, workers: Sequence[Callable[[], None]]) -> None:
        """Run the workers, each in a thread of its own; raises what one of them raised."""
        with ThreadPoolExecutor(len(workers)) as pool:
            for future in [pool.submit(self._guarded, worker) for worker in workers]:
                future.result()

    def random(self, *place: str | int) -> random.Random:
        """Return the draws of one place."""
        return random.Random(derive(self._seed, self._name, *place))

    @property
    def failed(self) -> bool:
        """Say whether a worker has failed."""
        return self._failed.is_set()

    @property
    def over(self) -> bool:
        """Say whether the workers are to end."""
        assert time.monotonic() < self._end, f"the soak does not end: {self._tally.by_kind} {self._tally.numbers}"
        return self.failed or self._enough()

    def rest(self, seconds: float, unless: Callable[[], bool] = lambda: False) -> None:
        """Wait, but not beyond the end, nor once something holds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.over and not unless():
            time.sleep(TICK)

    def _guarded(self, worker: Callable[[], None]) -> None:
        try:
            worker()
        except BaseException:
            self._failed.set()
            raise
