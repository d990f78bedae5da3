"""The manifest: what a branch says of itself, and by whose digest it is known."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from medforge import __version__
from medforge.contributor_name import IDENTIFIER, ContributorName, check_name
from medforge.digested import DigestedModel
from medforge.errors import CorruptFile, InvalidBranch, InvalidInput
from medforge.files import canonical_json, parse_json, read_file, sha256_bytes
from medforge.image_geometry import Preprocessing
from medforge.peft_format import CONFIG_FILE, WEIGHTS_FILE
from medforge.plugin_settings import PluginSettings
from medforge.privacy_facts import PrivacyFacts
from medforge.prompt_form import normal_form

MANIFEST_FILE = "manifest.json"
DISTILLED_FILE = "distilled.safetensors"
PLUGIN_DIRECTORY = "plugin"
BRANCH_FILES = (f"{PLUGIN_DIRECTORY}/{CONFIG_FILE}", f"{PLUGIN_DIRECTORY}/{WEIGHTS_FILE}", DISTILLED_FILE)
# what a branch may hold beside these
STATISTICS_FILE = "statistics.safetensors"
OPTIONAL_FILES = (STATISTICS_FILE,)
NAME = IDENTIFIER
# the shares of a site's validation images that lie within the distances a manifest gives
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


def _in_order(values: tuple[float, ...]) -> tuple[float, ...]:
    if len(values) != len(LEVELS):
        raise ValueError(f"it gives {len(values)} distances where {len(LEVELS)} quantiles are due")
    if list(values) != sorted(values):
        raise ValueError("its distances are quantiles out of order")
    return values


Quantiles = Annotated[tuple[Annotated[FiniteFloat, Field(ge=0)], ...], AfterValidator(_in_order)]
"""Quantiles at `LEVELS` of distances, as a manifest gives them."""

_LEAST_TEMPERATURE, _LARGEST_TEMPERATURE = 0.01, 100.0
# texts are shown to people at terminals, so none may hold what a terminal or a log would obey
Line = Annotated[str, Field(pattern=r"^[^\p{Cc}\p{Zl}\p{Zp}]*$")]
_MOST_ENTRIES = 100
# a thousand classes have a prompt, a key and a count each
_MOST_VALUES = 4000
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

    def check(self, name: str, data: bytes) -> None:
        """Raise CorruptFile unless these are the bytes of the file, which is called ``name``."""
        if len(data) != self.size or sha256_bytes(data) != self.digest:
            raise CorruptFile(f"{name} is not what the manifest says (size or digest differ); commit or push it again")


class Manifest(DigestedModel):
    """Say what a branch is, who made it, from what, and which bytes belong to it. Holds no clock.

    ``start`` is the digest of the forge item that training began from, where it was not the bare base module;
    ``display_name`` how the contributor is written for people, where that is not the identifier.

    A site may say more of its task and of its images. ``modality`` is an organ's or a modality's word. ``classes`` are
    the keys of the task's classes and ``class_counts`` the training images, both in the order of the prompts.
    ``distances`` are quantiles, at `LEVELS`, of the validation images' Mahalanobis distances from the nearest class
    mean: in the base module's embeddings, under what the branch itself sends, which are its class statistics or, where
    it sends none, its distilled images. ``temperature`` divides the plugin's logits; it is fitted on validation.

    ``preprocessing`` is how images were prepared for the base module, where that is not CLIP's own nor an embedded
    base's; ``activation`` what it computes, where that is not GELU.

    ``split`` says how the site's splits were made, ``together`` what they do not divide (patients, look-alikes), and
    ``leaks`` how many pairs of one picture are in two splits or classes all the same.

    ``privacy`` is the differential privacy that the contributor claims for all of this; nobody else can check it. Where
    it is there, ``class_counts`` and ``training_images`` are counts of units (patients, or images), with noise, and
    nothing is said of validation images.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger = frozenset(
        {"start", "display_name", "modality", "classes", "class_counts", "distances", "temperature"}
        | {"preprocessing", "activation", "split", "together", "leaks", "privacy"}
    )

    format: Literal[1] = 1
    contributor: str = Field(pattern=NAME)
    task: str = Field(pattern=NAME)
    prompts: tuple[Line, ...] = Field(min_length=2, max_length=1000)
    base: str = Field(pattern=r"^[0-9a-f]{64}$")
    base_spec: Line = Field(max_length=1000)
    plugin: PluginSettings
    ipc: int = Field(ge=1, le=_LARGEST)
    image_size: int = Field(ge=1, le=_LARGEST)
    training_images: int = Field(ge=1, le=_LARGEST)
    recipe: Line = Field(max_length=100)
    seed: int = Field(ge=-(1 << 63), lt=1 << 64)
    validation: dict[Line, FiniteFloat] = Field(default_factory=dict, max_length=_MOST_ENTRIES)
    files: dict[str, FileEntry] = Field(max_length=len(BRANCH_FILES) + len(OPTIONAL_FILES))
    software: dict[Line, Line] = Field(default_factory=dict, max_length=_MOST_ENTRIES)
    start: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    display_name: Annotated[str, AfterValidator(_composed)] | None = None
    modality: Annotated[Line, Field(min_length=1, max_length=100)] | None = None
    classes: tuple[Annotated[Line, Field(min_length=1, max_length=100)], ...] | None = None
    class_counts: tuple[Annotated[int, Field(ge=0, le=_LARGEST)], ...] | None = None
    distances: Quantiles | None = None
    temperature: FiniteFloat | None = Field(default=None, ge=_LEAST_TEMPERATURE, le=_LARGEST_TEMPERATURE)
    preprocessing: Preprocessing | None = None
    activation: Literal["quick_gelu"] | None = None
    split: Annotated[Line, Field(min_length=1, max_length=100)] | None = None
    together: Annotated[Line, Field(min_length=1, max_length=100)] | None = None
    leaks: int | None = Field(default=None, ge=0, le=_LARGEST)
    privacy: PrivacyFacts | None = None

    @model_validator(mode="after")
    def _facts_that_fit(self) -> Self:
        for what, values in (("class keys", self.classes), ("class counts", self.class_counts)):
            if values is not None and len(values) != len(self.prompts):
                raise ValueError(f"it gives {len(values)} {what} for {len(self.prompts)} prompts")
        if self.classes is not None and len(set(map(normal_form, self.classes))) != len(self.classes):
            raise ValueError("it names a class twice")
        return self

    @property
    def name(self) -> ContributorName:
        """The contributor's name, as it is compared and as it is shown."""
        return ContributorName(self.contributor, self.display_name)

    @property
    def size(self) -> int:
        """The bytes of all files that the manifest names."""
        return sum(entry.size for entry in self.files.values())

    def to_bytes(self) -> bytes:
        """Serialise canonically; the sha256 of these bytes is the branch's digest."""
        return self._bytes

    @cached_property
    def _bytes(self) -> bytes:
        return canonical_json(self.model_dump(mode="json"))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy as every model does; what differs is spelled anew."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("_bytes", None)
        return copied

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
        if not set(BRANCH_FILES) <= set(manifest.files) <= {*BRANCH_FILES, *OPTIONAL_FILES}:
            raise InvalidBranch(
                f"the manifest must list {', '.join(BRANCH_FILES)} and may list {', '.join(OPTIONAL_FILES)}; "
                "commit the branch again"
            )
        if manifest.to_bytes() != data:
            raise InvalidBranch("the manifest is not in its canonical spelling; commit the branch again")
        return manifest

    @classmethod
    def load(cls, directory: Path) -> Manifest:
        """Read the manifest of a branch directory, checking the bytes of every file that it names.

        Raises InvalidInput, CorruptFile or InvalidBranch. What the files mean is not looked at (see `Branch.load`).
        """
        manifest = cls.parse(read_file(directory / MANIFEST_FILE, "the branch manifest"))
        for name, entry in manifest.files.items():
            entry.check(name, read_file(directory / name, "the branch"))
        return manifest

    def renamed(self, name: ContributorName) -> Manifest:
        """Return what the same branch says of itself as another contributor's."""
        return self.model_copy(update={"contributor": name.identifier, "display_name": name.display})

    @property
    def digest(self) -> str:
        """The branch's content digest."""
        return sha256_bytes(self.to_bytes())


def public_spec(spec: str) -> str:
    """Shorten a base spec to what may leave the house: the name of a checkpoint or directory, not its path."""
    architecture, colon, path = spec.partition(":")
    return f"{Path(architecture).name}:{Path(path).absolute().name}" if colon and architecture != "hf-hub" else spec


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
