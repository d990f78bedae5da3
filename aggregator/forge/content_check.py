"""What a branch holds, checked part by part: what was found of a part before is not looked for again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from medforge import __version__
from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.forge.admission import (
    PLUGIN_CONFIG,
    check_counts,
    check_pixels,
    check_statistics,
    check_weight_changes,
)
from medforge.aggregator.forge.headers import (
    PLUGIN_WEIGHTS,
    check_distilled_header,
    check_plugin_header,
    check_sizes,
    check_statistics_header,
)
from medforge.aggregator.forge.policy import Policy
from medforge.aggregator.forge.verdicts import Verdicts, key_of
from medforge.base_module import BaseModule
from medforge.branch import Branch, check_made_on, parse_distilled, parse_plugin, parse_statistics
from medforge.distilled import DistilledDataset, check_distilled
from medforge.manifest import DISTILLED_FILE, STATISTICS_FILE, Manifest
from medforge.mapped_file import Bytes
from medforge.plugin import Plugin, check_plugin
from medforge.proto.errors import MissingBlob


class ContentCheck:
    """Check what one branch holds: its plugin, its distilled images, and what is said of both together.

    All headers are read before any tensor is. A part's verdict is kept under all that its check reads, so another
    manifest that names the same bad file is refused at once, and one that names the same good ones has nothing read. A
    file that the disk has altered since it came is no fault of the branch's, and not remembered.
    """

    def __init__(
        self, manifest: Manifest, base: BaseModule, policy: Policy, blobs: BlobStore, verdicts: Verdicts
    ) -> None:
        self._manifest = manifest
        self._base = base
        self._policy = policy
        self._blobs = blobs
        self._verdicts = verdicts
        under = [__version__, base.fingerprint, policy.model_dump(mode="json", include={"limits", "admission"})]
        self._branch_key = key_of(under, "branch", manifest.digest)
        digests = {path: entry.digest for path, entry in manifest.files.items()}
        said = manifest.model_dump(mode="json")
        plugin = [said.get(field) for field in ("plugin", "base", "preprocessing", "activation")]
        distilled = [digests[DISTILLED_FILE], manifest.prompts, manifest.ipc, manifest.image_size]
        counted = [said.get("class_counts"), said["training_images"]]
        self._plugin_key = key_of(under, "plugin", digests[PLUGIN_CONFIG], digests[PLUGIN_WEIGHTS], plugin)
        self._distilled_key = key_of(under, "distilled", distilled)
        self._together_key = key_of(under, "together", digests.get(STATISTICS_FILE), counted, distilled)

    def is_known(self) -> bool:
        """Say whether every part was found sound before; raises again what the branch or a part was refused with."""
        self._verdicts.is_sound(self._branch_key)
        keys = (self._plugin_key, self._distilled_key, self._together_key)
        # every one is asked for: a later part may have been refused
        sound = [self._verdicts.is_sound(key) for key in keys]
        return all(sound)

    def run(self) -> None:
        """Check all parts; raises InvalidBranch, BaseMismatch, CorruptFile or OverLimit for the first wrong one.

        Raises MissingBlob where a file is deleted meanwhile, with another branch that named it.
        """
        with suppress(FileNotFoundError, MissingBlob):
            self._run()
            return
        # a file that others brought as well may have got its name meanwhile: it is looked for once more
        try:
            self._run()
        except (FileNotFoundError, MissingBlob) as error:
            raise MissingBlob("a file of the branch was deleted while it was checked; push it again") from error

    def _run(self) -> None:
        # else what a disk has altered would be the branch's fault
        for entry in self._manifest.files.values():
            self._blobs.check(entry.digest)
        with self._verdicts.refusing(self._branch_key):
            check_sizes(self._manifest, {path: self._path(path) for path in self._manifest.files}, self._base)
            with self._verdicts.refusing(self._plugin_key):
                check_plugin_header(self._manifest, self._path(PLUGIN_WEIGHTS), self._base, self._policy.limits)
            with self._verdicts.refusing(self._distilled_key):
                check_distilled_header(self._manifest, self._path(DISTILLED_FILE))
            if STATISTICS_FILE in self._manifest.files:
                with self._verdicts.refusing(self._together_key):
                    check_statistics_header(self._manifest, self._path(STATISTICS_FILE), self._base)
        plugin, distilled = self._check_plugin(), self._check_distilled()
        self._check_together(plugin, distilled)

    def _check_plugin(self) -> Plugin:
        files = {path: self._read(path) for path in (PLUGIN_CONFIG, PLUGIN_WEIGHTS)}
        with self._verdicts.refusing(self._branch_key, self._plugin_key):
            plugin = parse_plugin(self._manifest, files)
            check_made_on(self._base, self._manifest, plugin)
            if not self._verdicts.is_sound(self._plugin_key):
                check_plugin(plugin, self._base)
                check_weight_changes(plugin, self._base, self._policy.admission.weight_change)
        self._verdicts.found_sound(self._plugin_key)
        return plugin

    def _check_distilled(self) -> DistilledDataset:
        data = self._read(DISTILLED_FILE)
        with self._verdicts.refusing(self._branch_key, self._distilled_key):
            distilled = parse_distilled(self._manifest, data)
            if not self._verdicts.is_sound(self._distilled_key):
                check_distilled(distilled, self._base)
                check_pixels(distilled, self._base, self._policy.admission.brightness)
        self._verdicts.found_sound(self._distilled_key)
        return distilled

    def _check_together(self, plugin: Plugin, distilled: DistilledDataset) -> None:
        data = self._read(STATISTICS_FILE) if STATISTICS_FILE in self._manifest.files else None
        with self._verdicts.refusing(self._branch_key, self._together_key):
            statistics = None if data is None else parse_statistics(data)
            if statistics is not None:
                statistics.check(self._base, len(self._manifest.prompts))
            branch = Branch(self._manifest, plugin, distilled, statistics)
            check_counts(branch)
            check_statistics(branch, self._base)
        self._verdicts.found_sound(self._together_key)

    def _path(self, path: str) -> Path:
        return self._blobs.located(self._manifest.files[path].digest)

    def _read(self, path: str) -> Bytes:
        # what is checked slice by slice lies in its file all the while, and is no second time in memory
        return self._blobs.mapped(self._manifest.files[path].digest)
