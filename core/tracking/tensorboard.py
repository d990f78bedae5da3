"""TensorBoard: one directory of event files a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from medforge.tracking.tracking import TrackingFailed

if TYPE_CHECKING:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


class TensorBoard:
    """Write the event files of one run below a log directory, as `tensorboard --logdir` reads them."""

    PREFIX: ClassVar[str] = "tensorboard"
    NEEDS: ClassVar[str] = "tensorboard"

    def __init__(self, place: str, run: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._directory = Path(place) / run
        try:
            self._earlier = self._directory.is_dir() and any(self._directory.iterdir())
            self._writer = SummaryWriter(str(self._directory))
        except OSError as error:
            raise TrackingFailed(
                f"{place} cannot be written ({error.strerror}); choose another directory for tensorboard:"
            ) from error

    @cached_property
    def _read(self) -> EventAccumulator | None:
        """Read what earlier processes wrote, however long it is."""
        from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

        if not self._earlier:
            return None
        # a process that was killed leaves half a record, which is read over and not worth a line
        logging.getLogger("tensorboard").setLevel(logging.ERROR)
        return EventAccumulator(str(self._directory), size_guidance={SCALARS: 0}).Reload()

    def steps(self, name: str) -> frozenset[int]:
        """Return the steps of a scalar that the directory's event files hold."""
        if self._read is None or name not in self._read.Tags()["scalars"]:
            return frozenset()
        return frozenset(event.step for event in self._read.Scalars(name))

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Add scalars and flush them."""
        try:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()
        except OSError as error:
            raise TrackingFailed(f"{self._directory} cannot be written ({error.strerror}); see to its disk") from error

    def close(self) -> None:
        """Close the event file."""
        self._writer.close()
