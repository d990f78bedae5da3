"""Checkpoints of long work: tensors and facts in one safetensors file, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from medforge.errors import CorruptFile, InvalidInput
from medforge.faults import reached
from medforge.files import canonical_json, sha256_bytes, write_atomically
from medforge.tensors import dump_tensors, parse_tensors


class Checkpoint:
    """Keep the newest state of one run in one file; without a path, keep nothing.

    `run` says which run it is (its settings, seed, base, task): the state of another run is refused, never continued.
    """

    def __init__(self, path: Path | None, run: Mapping[str, object]) -> None:
        self.path = path
        self._run = sha256_bytes(canonical_json(dict(run)))

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, object]) -> None:
        """Write the state, replacing the one before."""
        if self.path is not None:
            write_atomically(self.path, dump_tensors(tensors, {"run": self._run, "facts": dict(facts)}))
            reached("after checkpoint")

    def load(self) -> tuple[dict[str, Tensor], dict[str, object]] | None:
        """Return the saved tensors and facts, or None where nothing has been saved yet.

        Raises CorruptFile for a damaged file and InvalidInput for the state of another run.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            tensors, metadata = parse_tensors(self.path.read_bytes(), "the checkpoint")
        except CorruptFile as error:
            raise self._corrupt() from error
        if metadata.get("run") != self._run:
            raise InvalidInput(
                f"the checkpoint {self.path} belongs to a run with other settings, seed, base or images; "
                "delete it to start anew, or use another workspace"
            )
        facts = metadata.get("facts")
        if not isinstance(facts, dict):
            raise self._corrupt()
        return tensors, facts

    def _corrupt(self) -> CorruptFile:
        return CorruptFile(f"the checkpoint {self.path} is damaged; delete it to start this step of the work anew")


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """Yield an optimiser's state as named tensors (momentum buffers, step counters)."""
    for index, state in optimiser.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                yield f"optimiser/{index}/{key}", value


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimiser_tensors` yielded; other names are left alone."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        prefix, _, rest = name.partition("/")
        if prefix == "optimiser":
            index, _, key = rest.partition("/")
            state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
