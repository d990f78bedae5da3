"""The manifest: what a branch says of itself, and by whose digest it is known."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from medforge import __version__
from medforge.contributor_name import IDENTIFIER, ContributorName, check_name
from medforge.digested import DigestedModel
from medforge.errors import InvalidBranch, InvalidInput
from medforge.files import canonical_json, parse_json, sha256_bytes
from medforge.peft_format import CONFIG_FILE, WEIGHTS_FILE
from medforge.plugin_settings import PluginSettings

MANIFEST_FILE = "manifest.json"
DISTILLED_FILE = "distilled.safetensors"
PLUGIN_DIRECTORY = "plugin"
BRANCH_FILES = (f"{PLUGIN_DIRECTORY}/{CONFIG_FILE}", f"{PLUGIN_DIRECTORY}/{WEIGHTS_FILE}", DISTILLED_FILE)
NAME = IDENTIFIER
# texts are shown to people at terminals, so none may hold what a terminal or a log would obey
_Line = Annotated[str, Field(pattern=r"^[^\p{Cc}\p{Zl}\p{Zp}]*$")]
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
    """Hold the digest (sha256, hex) and size (bytes) of one file of a branch."""

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
    def parse(cls, data: bytes) -> Manifest:
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


def public_spec(spec: str) -> str:
    """Shorten a base spec to what may leave the house: a checkpoint's file name, not its path."""
    architecture, colon, path = spec.partition(":")
    return f"{Path(architecture).name}:{Path(path).name}" if colon and architecture != "hf-hub" else spec


def software_versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    packages = ("torch", "open_clip_torch", "peft", "numpy")
    ours = {"python": platform.python_version(), "medforge": __version__}
    return ours | {name: _version(name) for name in packages}


def _values_in(value: object) -> int:
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + sum(map(_values_in, inside))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"
