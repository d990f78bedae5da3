"""The state of a training that a killed server goes on from."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from medforge.errors import CorruptFile
from medforge.files import write_atomically
from medforge.tensors import dump_tensors, parse_tensors

_PREFIX = "student-"


class SavedState:
    """Keep the newest state of one training in ``directory`` (None: nowhere), under what it depends on.

    The state of any other training is given up. A file that is missing, cut short or of another training is no state.
    """

    def __init__(self, directory: Path | None, key: str) -> None:
        self._directory, self._key = directory, key

    def read(self) -> tuple[int, dict[str, Tensor]] | None:
        """Return the step and the tensors that were written last; None where there are none."""
        if self._path is None or not self._path.is_file():
            return None
        try:
            tensors, facts = parse_tensors(self._path.read_bytes(), str(self._path))
        except (CorruptFile, OSError):
            return None
        step = facts.get("step")
        return (step, tensors) if facts.get("key") == self._key and isinstance(step, int) else None

    def write(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Write a state in place of the one before."""
        if self._directory is None or self._path is None:
            return
        write_atomically(self._path, dump_tensors(dict(tensors), {"step": step, "key": self._key}))
        for other in self._directory.glob(f"{_PREFIX}*.safetensors"):
            if other != self._path:
                other.unlink(missing_ok=True)

    @property
    def _path(self) -> Path | None:
        return None if self._directory is None else self._directory / f"{_PREFIX}{self._key}.safetensors"
