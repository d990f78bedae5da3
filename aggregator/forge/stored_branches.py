"""Arrived branches as a forge keeps them: each part is read on its own, and as seldom as memory allows."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.records import Arrival
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.tensor_cache import TensorCache
from medforge.branch import parse_distilled, parse_plugin, parse_statistics
from medforge.class_statistics import ClassStatistics
from medforge.distilled import DistilledDataset
from medforge.manifest import BRANCH_FILES, DISTILLED_FILE, STATISTICS_FILE, Manifest
from medforge.plugin import Plugin

PLUGIN_BYTES = 512 << 20
_FEW_PLUGIN_BYTES, _FEW_TENSORS = 32 << 20, 4096


class Room(NamedTuple):
    """Say how much of branches is kept in memory: bytes of plugins, and how many tensors of each kind (None: all)."""

    plugin_bytes: int = PLUGIN_BYTES
    tensors: int | None = None


FOR_FEW = Room(_FEW_PLUGIN_BYTES, _FEW_TENSORS)
"""For a fold that asks for a few branches only, others every time: what one asks for is seldom what the last did."""


class StoredBranches:
    """Read the parts of a forge's branches, and keep what the next fold will ask for.

    Manifests and labels are kept in memory, and labels in the directory ``cache`` too (None: in memory only). Plugins
    are kept as far as there is ``room``, that of the arriving branch during its fold in any case; those beyond are read
    whenever they are needed, because a cache that drops the oldest would be emptied by every walk over more members
    than it holds. Distilled images are large and only a forward pass asks for them: those of the arriving branch are
    kept, and the last ones of another. Threads may read parts at once.
    """

    def __init__(self, forge: Forge, cache: Path | None, room: Room = Room()) -> None:  # noqa: B008 (it is frozen)
        self._forge = forge
        self._labels = TensorCache(cache, room.tensors)
        self._room = room.plugin_bytes
        self._branches: dict[int, ArrivedBranch] = {}
        self._plugins: dict[str, Plugin] = {}
        self._sizes: dict[str, int] = {}
        self._datasets: dict[str, DistilledDataset] = {}
        self._reading = threading.RLock()
        self._arriving = ""
        self._arriving_plugin: Plugin | None = None

    def arrived(self, numbers: Sequence[int]) -> tuple[ArrivedBranch, ...]:
        """Name arrivals, in this order; raises NotFound for one that has not arrived, or was erased."""
        # a row of the ledger takes twenty times as long to read as the number of one that was erased
        known = self._branches.keys() - self._forge.ledger.erased()
        for arrival in self._forge.kept_arrivals([number for number in numbers if number not in known]):
            self._branches[arrival.number] = self._named(arrival)
        return tuple(self._branches[number] for number in numbers)

    def begin_fold(self, arrived: Sequence[ArrivedBranch]) -> None:
        """Keep what belongs to these branches, of which the last is arriving, and let all else go."""
        self._arriving, self._arriving_plugin = arrived[-1].digest, None
        self._branches = {one.number: one for one in arrived}
        members = {one.digest for one in arrived}
        self._plugins = {digest: one for digest, one in self._plugins.items() if digest in members}
        self._sizes = {digest: self._sizes[digest] for digest in self._plugins}
        self._datasets = {}

    def forget(self, branches: Sequence[ArrivedBranch]) -> None:
        """Let go of all that was read of these branches, in memory and in files; what is kept of others stays."""
        self._labels.forget({one.distilled_digest for one in branches})
        for one in branches:
            for kept in (self._plugins, self._sizes, self._datasets):
                kept.pop(one.digest, None)
            self._branches.pop(one.number, None)
        self._arriving_plugin = None

    def plugin(self, branch: str, manifest: Manifest) -> Plugin:
        """Read a branch's plugin; raises MissingBlob, CorruptFile or InvalidBranch where it is not what it was."""
        with self._reading:
            if branch in self._plugins:
                return self._plugins[branch]
            if branch == self._arriving and self._arriving_plugin is not None:
                return self._arriving_plugin
            paths = [path for path in BRANCH_FILES if path != DISTILLED_FILE]
            plugin = parse_plugin(manifest, {path: self._read(manifest, path) for path in paths})
            size = _size(plugin)
            if size + sum(self._sizes.values()) <= self._room:
                self._plugins[branch], self._sizes[branch] = plugin, size
            elif branch == self._arriving:
                self._arriving_plugin = plugin
            return plugin

    def distilled(self, branch: str, manifest: Manifest) -> DistilledDataset:
        """Read a branch's distilled dataset; raises as `plugin` does."""
        with self._reading:
            if branch not in self._datasets:
                arriving = self._datasets.get(self._arriving)
                self._datasets = {} if arriving is None else {self._arriving: arriving}
                self._datasets[branch] = parse_distilled(manifest, self._read(manifest, DISTILLED_FILE))
            return self._datasets[branch]

    def labels(self, branch: str, manifest: Manifest) -> Tensor:
        """Return the labels of a branch's distilled images, whose file is read for them once in all."""
        digest = manifest.files[DISTILLED_FILE].digest
        return self._labels.get(["labels"], [digest], lambda: self.distilled(branch, manifest).labels)

    def statistics(self, manifest: Manifest) -> ClassStatistics | None:
        """Read a branch's class statistics; raises as `plugin` does."""
        return parse_statistics(self._read(manifest, STATISTICS_FILE)) if STATISTICS_FILE in manifest.files else None

    def _named(self, arrival: Arrival) -> ArrivedBranch:
        manifest = Manifest.parse(self._forge.blobs.read(arrival.branch))
        return ArrivedBranch(arrival.number, manifest, _Parts(self, arrival.branch, manifest))

    def _read(self, manifest: Manifest, path: str) -> bytes:
        return self._forge.blobs.read(manifest.files[path].digest)


@dataclass(frozen=True, eq=False)
class _Parts:
    stored: StoredBranches
    branch: str
    manifest: Manifest

    def plugin(self) -> Plugin:
        return self.stored.plugin(self.branch, self.manifest)

    def labels(self) -> Tensor:
        return self.stored.labels(self.branch, self.manifest)

    def images(self) -> Tensor:
        return self.stored.distilled(self.branch, self.manifest).images

    def statistics(self) -> ClassStatistics | None:
        return self.stored.statistics(self.manifest)


def _size(plugin: Plugin) -> int:
    """Return how many bytes a plugin holds: its tensors, and the files that it is stored as."""
    return 2 * sum(map(len, plugin.files().values()))
