"""Exact running sums over branches: whole numbers, so that who came first and who left again makes no difference."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.errors import InvalidBranch, MedForgeError
from medforge.files import canonical_json, sha256_bytes, write_atomically
from medforge.tensors import dump_tensors, parse_tensors, read_metadata

Sums = Mapping[str, Tensor]
"""Named int64 tensors; a name that is missing stands for zeros."""

# what float64 holds exactly, and what a sum of a thousand such numbers stays below in an int64
_MOST_OF_ONE, _MOST_OF_ALL = 1 << 52, 1 << 62
_HELD = 8
_SUMS = "sums"


def on_integers(values: Tensor, steps: float, what: str) -> Tensor:
    """Return values as int64 multiples of 1 / ``steps``, rounded to the nearest.

    Raises InvalidBranch, naming ``what``, for values that are not finite, or too large to be summed up exactly.
    """
    scaled = (values.detach().double().cpu() * steps).round()
    if not bool((scaled.abs() <= _MOST_OF_ONE).all()):
        raise InvalidBranch(f"{what} too large to be summed up exactly; train and commit the branch again")
    return scaled.to(torch.int64)


@dataclass(frozen=True, eq=False)
class _State:
    """Hold what the members, by branch digest, sum up to; None for a branch that was read from a file's list."""

    members: Mapping[str, ArrivedBranch | None]
    sums: Sums


class RunningSums:
    """Keep sums over the members of groups (tasks), in memory and in ``directory`` (None: in memory only).

    Sums are brought to any set of members by adding who came and subtracting who left; being sums of whole numbers,
    they are to the bit what adding up the members from nothing gives. They are added up from nothing where nothing is
    kept, where a kept file is damaged, and where a branch that left cannot be read any more. May be used by threads.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._held: OrderedDict[str, _State] = OrderedDict()
        self._lock = threading.Lock()

    def over(
        self, parts: Sequence[str], members: Sequence[ArrivedBranch], terms: Callable[[ArrivedBranch], Sums]
    ) -> Sums:
        """Return the sums of ``terms`` over the members.

        ``parts`` name everything but the members that the sums depend on. Raises what ``terms`` raises, and
        InvalidBranch where a sum would be too large; what is kept stays as it was then.
        """
        key = sha256_bytes(canonical_json(list(parts)))
        wanted = {one.digest: one for one in members}
        with self._lock:
            kept = self._held.get(key) or self._read(key) or _State({}, {})
            if kept.members.keys() != wanted.keys():
                kept = _brought(kept, wanted, terms)
                self._write(key, kept)
            else:
                kept = _State(wanted, kept.sums)
            self._hold(key, kept)
            return kept.sums

    def forget(self, branches: Set[str]) -> None:
        """Forget, in memory and in files, the sums that any of these branches (by digest) is in."""
        with self._lock:
            for key in [key for key, state in self._held.items() if not branches.isdisjoint(state.members)]:
                del self._held[key]
            for path in self._directory.glob(f"{_SUMS}/*") if self._directory else ():
                if _may_hold(path, branches):
                    path.unlink(missing_ok=True)

    def _hold(self, key: str, state: _State) -> None:
        self._held[key] = state
        self._held.move_to_end(key)
        # what is in no file is not let go: it would be summed up again at every turn
        while self._directory is not None and len(self._held) > _HELD:
            self._held.popitem(last=False)

    def _path(self, key: str) -> Path | None:
        return None if self._directory is None else self._directory / _SUMS / f"{key}.safetensors"

    def _read(self, key: str) -> _State | None:
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            sums, metadata = parse_tensors(path.read_bytes(), str(path))
        except (MedForgeError, OSError):
            return None
        members = metadata.get("members")
        if not isinstance(members, list) or metadata.get("digest") != _digest(key, members, sums):
            return None
        return _State(dict.fromkeys(members), sums)

    def _write(self, key: str, state: _State) -> None:
        path = self._path(key)
        if path is not None:
            members = sorted(state.members)
            metadata = {"members": members, "digest": _digest(key, members, state.sums)}
            write_atomically(path, dump_tensors(state.sums, metadata), lasting=False)


def _may_hold(path: Path, branches: Set[str]) -> bool:
    """Say whether a file sums up any of these branches; of a damaged one nobody knows."""
    try:
        members = read_metadata(path).get("members")
    except (MedForgeError, OSError):
        return True
    return not isinstance(members, list) or any(member in branches for member in members)


def _brought(kept: _State, wanted: Mapping[str, ArrivedBranch], terms: Callable[[ArrivedBranch], Sums]) -> _State:
    """Bring sums to other members, by the shorter way."""
    came = [one for digest, one in wanted.items() if digest not in kept.members]
    left = [one for digest, one in kept.members.items() if digest not in wanted]
    if len(came) + len(left) < len(wanted) and None not in left:
        try:
            gone = [terms(one) for one in left if one is not None]
        except MedForgeError:
            gone = None  # erased meanwhile, or its file is damaged
        if gone is not None:
            sums = _added(kept.sums, ((one, -1) for one in gone))
            return _State(wanted, _added(sums, ((terms(one), 1) for one in came)))
    return _State(wanted, _added({}, ((terms(one), 1) for one in wanted.values())))


def _added(sums: Sums, changes: Iterator[tuple[Sums, int]]) -> Sums:
    total = dict(sums)
    for change, sign in changes:
        for name, values in change.items():
            added = total[name] + sign * values if name in total else sign * values
            # of two numbers below a half of what an int64 holds, the sum is exact
            if added.numel() and int(added.abs().max()) > _MOST_OF_ALL:
                raise InvalidBranch("the branches of this task sum up to more than can be held; withdraw the largest")
            total[name] = added
    return {name: values for name, values in total.items() if values.any()}


def _digest(key: str, members: Sequence[str], sums: Sums) -> str:
    content = {
        name: [list(values.shape), sha256_bytes(values.contiguous().view(-1).view(torch.uint8).numpy().tobytes())]
        for name, values in sums.items()
    }
    return sha256_bytes(canonical_json([key, list(members), content]))
