"""The branch: what one contributor submits."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
)

from medforge import __version__
from medforge.base_module import BaseModule
from medforge.contributor_name import IDENTIFIER, ContributorName, check_name
from medforge.digested import DigestedModel
from medforge.distilled import DistilledDataset, check_distilled
from medforge.errors import BaseMismatch, CorruptFile, InvalidBranch, InvalidInput
from medforge.files import AnyPath, canonical_json, parse_json, read_file, sha256_bytes, write_files
from medforge.plugin import CONFIG_FILE, WEIGHTS_FILE, Plugin, PluginSettings, check_plugin

MANIFEST_FILE = "manifest.json"
DISTILLED_FILE = "distilled.safetensors"
PLUGIN_DIRECTORY = "plugin"
BRANCH_FILES = (f"{PLUGIN_DIRECTORY}/{CONFIG_FILE}", f"{PLUGIN_DIRECTORY}/{WEIGHTS_FILE}", DISTILLED_FILE)
NAME = IDENTIFIER
# texts are shown to people at terminals, so none may hold what a terminal or a log would obey
_Line = Annotated[str, Field(pattern=r"^[^\p{Cc}\p{Zl}\p{Zp}]*$")]
_MISDESCRIBED = "the manifest does not describe its plugin and distilled dataset; commit the branch again"
_MOST_ENTRIES = 100
_MOST_VALUES = 2000
# what fits a column of a database and converts to a float exactly
_LARGEST = 1 << 53


def _composed(name: str) -> str:
    """Let pass only names in the one spelling that can be shown."""
    try:
        composed = check_name(name)
    except InvalidInput as error:
        raise ValueError(str(error)) from error
    if composed != name:
        raise ValueError("it is not in Unicode's composed form")
    return name


class FileEntry(BaseModel):
    """The digest (sha256, hex) and size (bytes) of one file of a branch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0, le=_LARGEST)


class Manifest(DigestedModel):
    """Say what a branch is, who made it, from what, and which bytes belong to it. Holds no clock.

    ``start`` is the digest of the forge item that training began from, where it was not the bare base module;
    ``display_name`` how the contributor is written for people, where that is not the identifier.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger = frozenset({"start", "display_name"})

    format: Literal[1] = 1
    contributor: str = Field(pattern=NAME)
    task: str = Field(pattern=NAME)
    prompts: tuple[_Line, ...] = Field(min_length=2, max_length=1000)
    base: str = Field(pattern=r"^[0-9a-f]{64}$")
    base_spec: _Line = Field(max_length=1000)
    plugin: PluginSettings
    ipc: int = Field(ge=1, le=_LARGEST)
    image_size: int = Field(ge=1, le=_LARGEST)
    training_images: int = Field(ge=1, le=_LARGEST)
    recipe: _Line = Field(max_length=100)
    seed: int = Field(ge=-(1 << 63), lt=1 << 64)
    validation: dict[_Line, FiniteFloat] = Field(default_factory=dict, max_length=_MOST_ENTRIES)
    files: dict[str, FileEntry] = Field(max_length=len(BRANCH_FILES))
    software: dict[_Line, _Line] = Field(default_factory=dict, max_length=_MOST_ENTRIES)
    start: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    display_name: Annotated[str, AfterValidator(_composed)] | None = None

    @property
    def name(self) -> ContributorName:
        """The contributor's name, as it is compared and as it is shown."""
        return ContributorName(self.contributor, self.display_name)

    def to_bytes(self) -> bytes:
        """Serialise canonically; the sha256 of these bytes is the branch's digest."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """Read a manifest; raises InvalidBranch naming the field that is wrong."""
        try:
            # a value that is wrong takes half a kilobyte to report, so they are counted before
            if _values_in(parse_json(data)) > _MOST_VALUES:
                raise InvalidBranch("the manifest holds more values than a branch has; commit the branch again")
        except ValueError as error:
            raise InvalidBranch(f"the manifest's the whole is wrong: {error}; commit the branch again") from error
        try:
            manifest = cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            field = ".".join(map(str, first["loc"]))[:100] or "the whole"
            raise InvalidBranch(f"the manifest's {field} is wrong: {first['msg']}; commit the branch again") from error
        if set(manifest.files) != set(BRANCH_FILES):
            raise InvalidBranch(f"the manifest must list exactly {', '.join(BRANCH_FILES)}; commit the branch again")
        if manifest.to_bytes() != data:
            raise InvalidBranch("the manifest is not in its canonical spelling; commit the branch again")
        return manifest

    @property
    def digest(self) -> str:
        """The branch's content digest."""
        return sha256_bytes(self.to_bytes())


@dataclass(frozen=True, eq=False)
class Branch:
    """Hold a plugin, a distilled dataset, and the manifest that names their bytes."""

    manifest: Manifest
    plugin: Plugin
    distilled: DistilledDataset

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
    ) -> "Branch":
        """Make a branch of what a centre trained and distilled, and check it; raises InvalidBranch."""
        files = _files_of(plugin, distilled)
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
            )
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidBranch(f"the branch's {first['loc'][0]} is wrong: {first['msg']}; change it") from error
        branch = cls(manifest, plugin, distilled)
        branch.check(base)
        return branch

    def renamed(self, name: ContributorName) -> "Branch":
        """Return the same plugin and images as another contributor's branch."""
        update = {"contributor": name.identifier, "display_name": name.display}
        return Branch(self.manifest.model_copy(update=update), self.plugin, self.distilled)

    def blobs(self) -> dict[str, bytes]:
        """The files the manifest names, by relative path."""
        return _files_of(self.plugin, self.distilled)

    @classmethod
    def assemble(cls, manifest: Manifest, blobs: Mapping[str, bytes]) -> "Branch":
        """Put a branch together from received bytes, checking every size and digest.

        Raises InvalidBranch or CorruptFile with the first thing that is wrong.
        """
        for name, entry in manifest.files.items():
            if name not in blobs:
                raise InvalidBranch(f"the branch lacks {name}; push it again")
            if len(blobs[name]) != entry.size or sha256_bytes(blobs[name]) != entry.digest:
                raise CorruptFile(
                    f"{name} is not what the manifest says (size or digest differ); commit or push it again"
                )
        return cls(manifest, parse_plugin(manifest, blobs), parse_distilled(manifest, blobs[DISTILLED_FILE]))

    def check(self, base: BaseModule) -> None:
        """Check that the branch was made on ``base`` and is sound; raises BaseMismatch or InvalidBranch."""
        if self.manifest.base != base.fingerprint or self.plugin.base_fingerprint != base.fingerprint:
            raise BaseMismatch(
                f"the branch was made on base module {self.manifest.base[:12]} ({self.manifest.base_spec}), "
                f"but {base.fingerprint[:12]} ({public_spec(base.spec)}) is used here; train it on the forge's base"
            )
        check_plugin(self.plugin, base)
        check_distilled(self.distilled, base)

    def save(self, directory: AnyPath) -> None:
        """Write the branch; the manifest comes last, so a directory with a manifest is whole."""
        write_files(directory, self.blobs())
        write_files(directory, {MANIFEST_FILE: self.manifest.to_bytes()})

    @classmethod
    def load(cls, directory: Path) -> "Branch":
        """Read a branch directory, checking every digest; raises InvalidInput, CorruptFile or InvalidBranch."""
        manifest = read_file(directory / MANIFEST_FILE, "the branch manifest")
        files = {name: read_file(directory / name, "the branch") for name in BRANCH_FILES}
        return cls.assemble(Manifest.parse(manifest), files)


def parse_plugin(manifest: Manifest, files: Mapping[str, bytes]) -> Plugin:
    """Read a branch's plugin from its files, by the manifest's paths; their digests have been checked.

    Raises InvalidBranch where it is not the plugin that the manifest describes.
    """
    names = (CONFIG_FILE, WEIGHTS_FILE)
    plugin = Plugin.parse({name: files[f"{PLUGIN_DIRECTORY}/{name}"] for name in names})
    if plugin.settings != manifest.plugin:
        raise InvalidBranch(_MISDESCRIBED)
    for name, data in plugin.files().items():
        _check_spelling(f"{PLUGIN_DIRECTORY}/{name}", data, files[f"{PLUGIN_DIRECTORY}/{name}"])
    return plugin


def parse_distilled(manifest: Manifest, data: bytes) -> DistilledDataset:
    """Read a branch's distilled dataset from its bytes, whose digest has been checked.

    Raises CorruptFile, or InvalidBranch where it is not the dataset that the manifest describes.
    """
    distilled = DistilledDataset.from_bytes(data)
    described = (manifest.prompts, manifest.ipc, manifest.image_size)
    if described != (distilled.prompts, distilled.ipc, distilled.images.shape[-1]):
        raise InvalidBranch(_MISDESCRIBED)
    _check_spelling(DISTILLED_FILE, distilled.to_bytes(), data)
    return distilled


def public_spec(spec: str) -> str:
    """Shorten a base spec to what may leave the house: a checkpoint's file name, not its path."""
    architecture, colon, path = spec.partition(":")
    return f"{Path(architecture).name}:{Path(path).name}" if colon and architecture != "hf-hub" else spec


def software_versions() -> dict[str, str]:
    """The versions that a result depends on."""
    packages = ("torch", "open_clip_torch", "peft", "numpy")
    ours = {"python": platform.python_version(), "medforge": __version__}
    return ours | {name: _version(name) for name in packages}


def _check_spelling(name: str, spelled: bytes, data: bytes) -> None:
    """Raise InvalidBranch unless a file is spelled as we spell it: a branch is sent on, and has to keep its digest."""
    if spelled != data:
        raise InvalidBranch(f"{name} is not in its canonical spelling; commit the branch again")


def _values_in(value: object) -> int:
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + sum(map(_values_in, inside))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _files_of(plugin: Plugin, distilled: DistilledDataset) -> dict[str, bytes]:
    files = {f"{PLUGIN_DIRECTORY}/{name}": data for name, data in plugin.files().items()}
    return files | {DISTILLED_FILE: distilled.to_bytes()}
