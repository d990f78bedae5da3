"""A centre's workspace: one directory that knows what is trained, distilled, committed, audited and pushed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medforge.client.audit.record import AuditRecord
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import canonical_json, sha256_file, write_atomically

# What a manifest accepts as a name; refused here, before hours of work, rather than at commit.
NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$"


class Settings(BaseModel):
    """Say what a workspace works on. Every field shapes the branch; device and threads do not, and are not kept.

    `start` is the digest of the forge item that training began from; None where it began on the bare base module.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    contributor: str = Field(pattern=NAME)
    task: str | None = Field(None, pattern=NAME)
    base: str = "medforge-tiny"
    recipe: dict[str, Any]
    seed: int = Field(0, ge=0)
    dtype: str = "fp32"
    start: str | None = None

    @property
    def method(self) -> str:
        """The recipe's distillation method."""
        return str(self.recipe["distill"]["method"])

    @property
    def plugin(self) -> str:
        """The kind of plugin that the recipe trains."""
        return str(self.recipe["train"]["plugin"]["kind"])


class Workspace:
    """Name the places of a centre's work, and say which of its stages are done.

    A stage is done when its last file is there; every file is written whole or not at all, so a kill at any moment
    leaves each stage either done or to be continued.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings_file = path / "settings.json"
        self.start = path / "start"
        self.training = path / "training"
        self.plugin = self.training / "plugin"
        self.distillation = path / "distillation"
        self.distilled_file = self.distillation / "distilled.safetensors"
        self.branch = path / "branch"
        self.audit_file = path / "audit" / "audit.json"
        self.audit_report = path / "audit" / "report.html"
        self.receipt_file = path / "receipt.json"
        self.progress_file = path / "progress.json"
        self.cache = path / "cache"

    @property
    def exists(self) -> bool:
        """Say whether the directory holds a workspace."""
        return self.settings_file.exists()

    @property
    def settings(self) -> Settings:
        """Read the settings. Raises InvalidInput where there is no workspace, CorruptFile where they cannot be read."""
        if not self.exists:
            raise InvalidInput(
                f"There is no workspace in {self.path}; begin one with: medforge train SOURCE --workspace {self.path}"
            )
        try:
            return Settings.model_validate_json(self.settings_file.read_bytes())
        except ValidationError as error:
            raise CorruptFile(f"{self.settings_file} cannot be read; restore it or begin another workspace.") from error

    def create(self, settings: Settings) -> None:
        """Write the settings of a new workspace. Raises InvalidInput where the directory cannot be used."""
        try:
            write_atomically(self.settings_file, canonical_json(settings.model_dump(mode="json")))
        except OSError as error:
            raise InvalidInput(
                f"The workspace {self.path} cannot be written ({error.strerror}); choose another --workspace."
            ) from error

    def require(self, wanted: Mapping[str, object]) -> Settings:
        """Return the settings, having checked that they agree with what is `wanted` of them.

        Raises InvalidInput naming the first setting that differs.
        """
        settings = self.settings
        for name, value in wanted.items():
            kept = getattr(settings, name)
            if kept != value:
                raise InvalidInput(
                    f"The workspace {self.path} {_difference(name, kept, value)}, or use another --workspace."
                )
        return settings

    @property
    def trained(self) -> dict[str, Any] | None:
        """Return the training record (`epochs`, `best`, `task`, `images`), or None while training is not done."""
        return _read_json(self.training / "history.json")

    @property
    def distilled(self) -> dict[str, Any] | None:
        """Return the distillation record (`candidates`, `best`), or None while distillation is not done."""
        return _read_json(self.distillation / "history.json")

    @property
    def committed(self) -> str | None:
        """Return the branch's digest, or None while there is no branch."""
        manifest = self.branch / "manifest.json"
        return sha256_file(manifest) if manifest.exists() else None

    @property
    def committed_files(self) -> dict[str, str]:
        """Return the sha256 of every file of the branch by its name; empty while there is none. Raises CorruptFile."""
        path = self.branch / "manifest.json"
        manifest = _read_json(path)
        try:
            return {} if manifest is None else {name: entry["digest"] for name, entry in manifest["files"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(f"{path} is not a branch's manifest; delete {self.branch} and commit again.") from error

    @property
    def audited(self) -> AuditRecord | None:
        """Return the audit of the branch as it is committed, or None where there is none or it judged other bytes."""
        record = AuditRecord.load(self.audit_file)
        return record if record is not None and record.files == self.committed_files else None

    @property
    def pushed(self) -> dict[str, Any] | None:
        """Return the receipt, or None while the forge has not acknowledged the branch."""
        return _read_json(self.receipt_file)

    def status(self) -> dict[str, Any]:
        """Return everything a script may want to know, as plain JSON values."""
        settings = self.settings
        recipe = settings.recipe.get("name")
        return {
            "workspace": str(self.path),
            **settings.model_dump(mode="json", exclude={"recipe"}),
            "recipe": recipe,
            "trained": self.trained and self.trained["best"],
            "distilled": self.distilled and self.distilled["best"],
            "committed": self.committed,
            "audited": _audit_state(self.audited),
            "pushed": self.pushed,
            "progress": None if self.distilled else _read_json(self.progress_file),
        }

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from working here at the same time. Raises InvalidInput when one already does."""
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise InvalidInput(
                f"another process is working in {self.path}; wait until it ends or use another --workspace"
            ) from error
        except OSError as error:
            raise InvalidInput(
                f"the workspace {self.path} cannot be written ({error.strerror}); choose another --workspace"
            ) from error
        try:
            yield
        finally:
            lock.release()


def make_settings(values: Mapping[str, object]) -> Settings:
    """Build settings. Raises InvalidInput naming the option that cannot be used."""
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise InvalidInput(
            f"The option --{name} cannot be {first['input']!r}: {first['msg']} "
            "(names are letters, digits, spaces, '.', '_' and '-')."
            if first["type"] == "string_pattern_mismatch"
            else f"The option --{name} cannot be {first['input']!r}: {first['msg']}."
        ) from error


def write_record(path: Path, record: Mapping[str, object]) -> None:
    """Write a stage's record, which marks the stage as done."""
    write_atomically(path, canonical_json(dict(record)) + b"\n")


def _difference(name: str, kept: object, wanted: object) -> str:
    if name == "recipe":
        return (
            "was begun with another recipe or other --recipe-set or --epochs options; leave them out to go on with its "
            "own"
        )
    if name == "start":
        return "was begun from another merged model, or from none; leave --from out to go on with its own"
    return f"was begun with {name} {kept!r}, not {wanted!r}; give {kept!r} again"


def _audit_state(record: AuditRecord | None) -> dict[str, Any] | None:
    if record is None:
        return None
    override = record.overridden
    return {
        "passed": record.passed,
        "failed": list(record.failed),
        "overridden_by": override and override.name,
        "at": record.at.isoformat(),
    }


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise CorruptFile(f"{path} cannot be read; delete it and run the same command again.") from error
    if not isinstance(value, dict):
        raise CorruptFile(f"{path} does not hold a record; delete it and run the same command again.")
    return value
