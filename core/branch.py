"""The branch: what one contributor submits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from medforge.base_mismatch import base_mismatch
from medforge.base_module import BaseModule
from medforge.bases.spec import EMBEDDED
from medforge.class_statistics import ClassStatistics
from medforge.contributor_name import ContributorName
from medforge.distilled import DistilledDataset, check_distilled
from medforge.errors import InvalidBranch
from medforge.files import AnyPath, read_file, sha256_bytes, write_files
from medforge.image_geometry import Preprocessing
from medforge.manifest import (
    DISTILLED_FILE,
    MANIFEST_FILE,
    OPTIONAL_FILES,
    PLUGIN_DIRECTORY,
    STATISTICS_FILE,
    FileEntry,
    Manifest,
    public_spec,
    software_versions,
)
from medforge.mapped_file import Bytes
from medforge.peft_format import CONFIG_FILE, WEIGHTS_FILE
from medforge.plugin import Plugin, check_plugin
from medforge.site_facts import SiteFacts

_MISDESCRIBED = "the manifest does not describe its plugin and distilled dataset; commit the branch again"


@dataclass(frozen=True, eq=False)
class Branch:
    """Hold a plugin, a distilled dataset, and the manifest that names their bytes; class statistics where sent."""

    manifest: Manifest
    plugin: Plugin
    distilled: DistilledDataset
    statistics: ClassStatistics | None = None

    @property
    def digest(self) -> str:
        """The content digest: the sha256 of the canonical manifest."""
        return self.manifest.digest

    @classmethod
    def build(
        cls,
        plugin: Plugin,
        distilled: DistilledDataset,
        *,
        contributor: str | ContributorName,
        task: str,
        base: BaseModule,
        training_images: int,
        recipe: str,
        seed: int,
        validation: Mapping[str, float],
        start: str | None = None,
    ) -> Branch:
        """Make a branch of what a centre trained and distilled, and check it; raises InvalidBranch."""
        files = _files_of(plugin, distilled, None)
        preprocessing, activation = _described(base)
        name = ContributorName(contributor) if isinstance(contributor, str) else contributor
        try:
            manifest = Manifest(
                contributor=name.identifier,
                display_name=name.display,
                task=task,
                prompts=distilled.prompts,
                base=base.fingerprint,
                base_spec=public_spec(base.spec),
                plugin=plugin.settings,
                ipc=distilled.ipc,
                image_size=base.image_size,
                training_images=training_images,
                recipe=recipe,
                seed=seed,
                validation=dict(validation),
                files={name: FileEntry(digest=sha256_bytes(data), size=len(data)) for name, data in files.items()},
                software=software_versions(),
                start=start,
                preprocessing=preprocessing,
                activation=activation,
            )
        except ValidationError as error:
            raise _wrong_field(error) from error
        branch = cls(manifest, plugin, distilled)
        branch.check(base)
        return branch

    def with_facts(self, facts: SiteFacts, base: BaseModule) -> Branch:
        """Return the branch with what its site says beside it, checked; raises InvalidBranch."""
        files = self.manifest.files
        if facts.statistics is not None:
            data = facts.statistics.to_bytes()
            files = files | {STATISTICS_FILE: FileEntry(digest=sha256_bytes(data), size=len(data))}
        said = {name: value for name, value in vars(facts).items() if name != "statistics" and value is not None}
        try:
            manifest = Manifest.model_validate({**dict(self.manifest), **said, "files": files})
        except ValidationError as error:
            raise _wrong_field(error) from error
        branch = Branch(manifest, self.plugin, self.distilled, facts.statistics)
        branch.check(base)
        return branch

    def renamed(self, name: ContributorName) -> Branch:
        """Return the same plugin and images as another contributor's branch."""
        return Branch(self.manifest.renamed(name), self.plugin, self.distilled, self.statistics)

    def blobs(self) -> dict[str, bytes]:
        """Return the files that the manifest names, by relative path."""
        return _files_of(self.plugin, self.distilled, self.statistics)

    @classmethod
    def assemble(cls, manifest: Manifest, blobs: Mapping[str, bytes]) -> Branch:
        """Put a branch together from received bytes, checking every size and digest.

        Raises InvalidBranch or CorruptFile with the first thing that is wrong.
        """
        for name, entry in manifest.files.items():
            if name not in blobs:
                raise InvalidBranch(f"the branch lacks {name}; push it again")
            entry.check(name, blobs[name])
        return cls(
            manifest,
            parse_plugin(manifest, blobs),
            parse_distilled(manifest, blobs[DISTILLED_FILE]),
            parse_statistics(blobs[STATISTICS_FILE]) if STATISTICS_FILE in manifest.files else None,
        )

    def check(self, base: BaseModule) -> None:
        """Check that the branch was made on ``base`` and is sound; raises BaseMismatch or InvalidBranch."""
        check_made_on(base, self.manifest, self.plugin)
        check_plugin(self.plugin, base)
        check_distilled(self.distilled, base)
        if self.statistics is not None:
            self.statistics.check(base, len(self.manifest.prompts))

    def save(self, directory: AnyPath) -> None:
        """Write the branch; the manifest comes last, so a directory with a manifest is whole.

        A file that an earlier branch had there, and this one does not, goes.
        """
        write_files(directory, self.blobs())
        write_files(directory, {MANIFEST_FILE: self.manifest.to_bytes()})
        for name in OPTIONAL_FILES:
            if name not in self.manifest.files:
                (Path(directory) / name).unlink(missing_ok=True)

    @classmethod
    def load(cls, directory: Path) -> Branch:
        """Read a branch directory, checking every digest; raises InvalidInput, CorruptFile or InvalidBranch."""
        manifest = Manifest.parse(read_file(directory / MANIFEST_FILE, "the branch manifest"))
        return cls.assemble(manifest, {name: read_file(directory / name, "the branch") for name in manifest.files})


def _described(base: BaseModule) -> tuple[Preprocessing | None, Literal["quick_gelu"] | None]:
    """Return what a manifest says of a base module: how images are prepared and what it computes, unless as usual."""
    seen = base.preprocessing
    usual = base.spec in EMBEDDED or seen.is_usual
    return None if usual else seen, "quick_gelu" if base.architecture.get("quick_gelu") else None


def check_made_on(base: BaseModule, manifest: Manifest, plugin: Plugin) -> None:
    """Check that manifest and plugin were made on ``base``; raises BaseMismatch or InvalidBranch."""
    if manifest.base != base.fingerprint or plugin.base_fingerprint != base.fingerprint:
        made_on = manifest.model_copy(update={"base": plugin.base_fingerprint})
        raise base_mismatch(made_on if manifest.base == base.fingerprint else manifest, base.facts, "here is")
    described = (manifest.preprocessing, manifest.activation)
    if any(said not in (None, due) for said, due in zip(described, _described(base), strict=True)):
        raise InvalidBranch(
            "the manifest says of its base module what that is not; train the branch on the forge's base"
        )


def parse_plugin(manifest: Manifest, files: Mapping[str, Bytes]) -> Plugin:
    """Read a branch's plugin from its files, by the manifest's paths; their digests have been checked.

    Raises InvalidBranch where it is not the plugin that the manifest describes.
    """
    own = {name: files[f"{PLUGIN_DIRECTORY}/{name}"] for name in (CONFIG_FILE, WEIGHTS_FILE)}
    plugin = Plugin.parse(own)
    if plugin.settings != manifest.plugin:
        raise InvalidBranch(_MISDESCRIBED)
    odd = plugin.odd_file(own)
    _check_spelling(f"{PLUGIN_DIRECTORY}/{odd}", odd is None)
    return plugin


def parse_distilled(manifest: Manifest, data: Bytes) -> DistilledDataset:
    """Read a branch's distilled dataset from its bytes, whose digest has been checked.

    Raises CorruptFile, or InvalidBranch where it is not the dataset that the manifest describes.
    """
    distilled = DistilledDataset.from_bytes(data)
    described = (manifest.prompts, manifest.ipc, manifest.image_size)
    if described != (distilled.prompts, distilled.ipc, distilled.images.shape[-1]):
        raise InvalidBranch(_MISDESCRIBED)
    _check_spelling(DISTILLED_FILE, distilled.is_spelled(data))
    return distilled


def parse_statistics(data: Bytes) -> ClassStatistics:
    """Read a branch's class statistics from their bytes, whose digest has been checked.

    Raises CorruptFile, or InvalidBranch where they are none.
    """
    statistics = ClassStatistics.from_bytes(data)
    _check_spelling(STATISTICS_FILE, statistics.is_spelled(data))
    return statistics


def _wrong_field(error: ValidationError) -> InvalidBranch:
    first = error.errors()[0]
    field = ".".join(map(str, first["loc"]))[:100] or "manifest"
    return InvalidBranch(f"the branch's {field} is wrong: {first['msg']}; change it")


def _check_spelling(name: str, is_ours: bool) -> None:
    """Raise InvalidBranch unless a file is spelled as we spell it: a branch is sent on, and has to keep its digest."""
    if not is_ours:
        raise InvalidBranch(f"{name} is not in its canonical spelling; commit the branch again")


def _files_of(plugin: Plugin, distilled: DistilledDataset, statistics: ClassStatistics | None) -> dict[str, bytes]:
    files = {f"{PLUGIN_DIRECTORY}/{name}": data for name, data in plugin.files().items()}
    files |= {DISTILLED_FILE: distilled.to_bytes()}
    return files | ({} if statistics is None else {STATISTICS_FILE: statistics.to_bytes()})
