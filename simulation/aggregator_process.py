"""The aggregator of a run: one process, started again on the same forge and port whenever it dies."""

from __future__ import annotations

from collections.abc import Callable

from medforge.errors import ForgeUnavailable
from medforge.simulation.child import Child, Launch, ending, last_sentence
from medforge.simulation.commands import serve_command
from medforge.simulation.rundir import RunDirectory
from medforge.simulation.settings import SimulationSettings

# Each start that ends before the aggregator listens counts; a start that succeeds forgets them.
FAILED_STARTS = 3


class Aggregator:
    """Keep `medforge serve` running on one forge directory and one port."""

    def __init__(
        self, settings: SimulationSettings, run: RunDirectory, launch: Launch, notify: Callable[[str], None]
    ) -> None:
        self._settings, self._run, self._launch, self._notify = settings, run, launch, notify
        self._child: Child | None = None
        self._port = 0
        self._failed_starts = 0
        self.address: str | None = None
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """Return the process id while one runs."""
        return self._child.pid if self._child and self._child.poll() is None else None

    def start(self) -> None:
        """Start the process; it says where it listens in the ready file."""
        self._run.ready_file.unlink(missing_ok=True)
        self._child = self._launch(serve_command(self._settings, self._run, self._port), self._run.log("aggregator"))
        self.address = None

    def watch(self) -> None:
        """Notice that it listens, or start it again where it died.

        Raises ForgeUnavailable after three starts in a row that never came to listen.
        """
        if self._child is None:
            return
        status = self._child.poll()
        if status is None:
            if self.address is None and self._run.ready_file.exists():
                self._listening(self._run.ready_file.read_text().strip())
            return
        if self.address is None:
            self._failed_starts += 1
        if self._failed_starts >= FAILED_STARTS or (self._port == 0 and self.address is None):
            raise ForgeUnavailable(
                f"the aggregator does not start ({ending(status)}); its log {self._child.log} ends: "
                f"{last_sentence(self._child.tail())}"
            )
        self._notify(
            f"aggregator (process {self._child.pid}) died: {ending(status)}; starting it again on the same forge"
        )
        self.restarts += 1
        self.start()

    def _listening(self, address: str) -> None:
        self.address = address
        self._port = int(address.rpartition(":")[2])
        self._failed_starts = 0
        self._notify(f"aggregator (process {self.pid}) listens on {address}")

    def stop(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.stop()
            self._child = None
