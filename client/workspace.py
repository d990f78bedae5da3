"""A centre's workspace: one directory that knows what is trained, distilled, committed, audited and pushed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock, Timeout
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from medforge.base_check import resolve_base
from medforge.client.audit.record import AuditRecord
from medforge.client.data.catalogue import same_source
from medforge.client.records import (
    DistillationRecord,
    DistillationSaved,
    ProgressRecord,
    ReceiptRecord,
    TrainingRecord,
    TrainingSaved,
)
from medforge.client.saved import CHECKPOINT_FILE, distillation_saved, training_saved
from medforge.contributor_name import IDENTIFIER, check_name, identifier_of
from medforge.declared_task import DeclaredTask
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import canonical_json, sha256_file, write_atomically

RECORD_FILE = "history.json"
_KEPT = (RECORD_FILE, CHECKPOINT_FILE)


class Settings(BaseModel):
    """Say what a workspace works on. Every field shapes the branch; device and threads do not, and are not kept.

    `source` and `base` hold absolute paths. `contributor` is who was named for it so far; the name that counts is that
    of the commit. `start` is the digest of the forge item that training began from; None where it began on the bare
    base module. `declared` is the forge's declaration of the task, where one was given, and `class_map` the key of its
    class for each of the site's own folders.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    contributor: Annotated[str, AfterValidator(check_name)] | None = None
    task: str | None = Field(None, pattern=IDENTIFIER)
    base: str = "medforge-tiny"
    recipe: dict[str, Any]
    seed: int = Field(0, ge=0)
    dtype: str = "fp32"
    start: str | None = None
    declared: DeclaredTask | None = None
    class_map: dict[str, str] | None = None

    @property
    def method(self) -> str:
        """The recipe's distillation method."""
        return str(self.recipe["distill"]["method"])

    @property
    def distillation_steps(self) -> int:
        """How many steps the recipe distils."""
        return int(self.recipe["distill"]["steps"])

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
                f"there is no workspace in {self.path}; begin one with: medforge train SOURCE --workspace {self.path}"
            )
        try:
            return Settings.model_validate_json(self.settings_file.read_bytes())
        except ValidationError as error:
            raise CorruptFile(f"{self.settings_file} cannot be read; restore it or begin another workspace") from error

    @property
    def begun(self) -> bool:
        """Say whether any work is kept here that belongs to the settings: a stage, a part of one, or a branch."""
        stages = (self.training, self.distillation)
        return any((stage / name).exists() for stage in stages for name in _KEPT) or self.committed is not None

    def create(self, settings: Settings) -> None:
        """Write the settings. Raises InvalidInput where the directory cannot be used."""
        try:
            write_atomically(self.settings_file, canonical_json(settings.model_dump(mode="json")))
        except OSError as error:
            raise InvalidInput(
                f"the workspace {self.path} cannot be written ({error.strerror}); choose another --workspace"
            ) from error

    def require(self, wanted: Mapping[str, object]) -> Settings:
        """Return the settings, having checked that they agree with what is `wanted` of them.

        Raises InvalidInput naming the first setting that differs.
        """
        settings = self.settings
        for name, value in wanted.items():
            kept = getattr(settings, name)
            if not _agree(name, kept, value):
                what, remedy = _difference(name, kept, value)
                raise InvalidInput(f"the workspace {self.path} was begun {what}; {remedy}, or use another --workspace")
        return settings

    @property
    def trained(self) -> TrainingRecord | None:
        """Return the training's record, or None while training is not done."""
        return TrainingRecord.load(self.training / RECORD_FILE)

    @property
    def distilled(self) -> DistillationRecord | None:
        """Return the distillation's record, or None while distillation is not done."""
        return DistillationRecord.load(self.distillation / RECORD_FILE)

    @property
    def saved_training(self) -> TrainingSaved | None:
        """Return how many epochs an interrupted training has saved; None where it has saved none or is done."""
        return None if self.trained else training_saved(self.training)

    @property
    def saved_distillation(self) -> DistillationSaved | None:
        """Return how many steps an interrupted distillation has saved; None where it has saved none or is done."""
        return None if self.distilled else distillation_saved(self.distillation, self.settings.distillation_steps)

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
            raise CorruptFile(f"{path} is not a branch's manifest; delete {self.branch} and commit again") from error

    @property
    def audited(self) -> AuditRecord | None:
        """Return the audit of the branch as it is committed, or None where there is none or it judged other bytes."""
        record = AuditRecord.load(self.audit_file)
        return record if record is not None and record.files == self.committed_files else None

    @property
    def pushed(self) -> ReceiptRecord | None:
        """Return the receipt, or None while the forge has not acknowledged the branch."""
        return ReceiptRecord.load(self.receipt_file)

    def status(self) -> dict[str, Any]:
        """Return everything a script may want to know, as plain JSON values."""
        settings, trained, distilled, pushed = self.settings, self.trained, self.distilled, self.pushed
        progress = None if distilled else ProgressRecord.load(self.progress_file)
        return {
            "workspace": str(self.path),
            **settings.model_dump(mode="json", exclude={"recipe"}),
            **self._contributor(),
            "recipe": settings.recipe.get("name"),
            "trained": trained and trained.best.model_dump(mode="json"),
            "distilled": distilled and distilled.best.model_dump(mode="json"),
            "saved": {
                "training": _plain(self.saved_training),
                "distillation": _plain(self.saved_distillation),
            },
            "committed": self.committed,
            "audited": _audit_state(self.audited),
            "pushed": _plain(pushed),
            "progress": _plain(progress),
        }

    def _contributor(self) -> dict[str, str | None]:
        """Return who the branch is of, or was named for it so far, as an identifier and as it is written for people."""
        manifest = _read_json(self.branch / "manifest.json")
        if manifest is not None:
            return {"contributor": manifest.get("contributor"), "display_name": manifest.get("display_name")}
        named = self.settings.contributor
        identifier = named and (identifier_of(named) or named)
        return {"contributor": identifier, "display_name": None if named == identifier else named}

    def check_writable(self) -> None:
        """Raise InvalidInput where no directory can be made or written at the path; nothing is tried out."""
        nearest = next((one for one in (self.path, *self.path.absolute().parents) if os.path.lexists(one)), self.path)
        if not nearest.is_dir():
            reason = f"{nearest} is no directory"
        elif not os.access(nearest, os.W_OK | os.X_OK):
            reason = f"{nearest} admits no writing"
        else:
            return
        raise InvalidInput(f"the workspace {self.path} cannot be written ({reason}); choose another --workspace")

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
            f"option --{name} cannot be {first['input']!r}; names are ASCII letters, digits, spaces, '.', '_' and '-'"
            if first["type"] == "string_pattern_mismatch"
            else f"option --{name} cannot be {first['input']!r}; {_said(first['msg'])}"
        ) from error


def _said(message: str) -> str:
    """Write pydantic's words as ours begin."""
    return message[:1].lower() + message[1:]


def _difference(name: str, kept: object, wanted: object) -> tuple[str, str]:
    """Say with what a workspace was begun instead, and what to do about it."""
    if name == "recipe":
        what = "with another recipe or other --recipe-set or --epochs options"
        return what, "leave them out to go on with its own"
    if name == "start":
        return "from another merged model, or from none", "leave --from out to go on with its own"
    if name == "declared":
        return "with another declaration of its task, or with none", "leave --task-file out to go on with its own"
    if name == "class_map":
        return "with another map of its folders, or with none", "leave --map out to go on with its own"
    return f"with {name} {kept!r}, not {wanted!r}", f"give {kept!r} again"


def _agree(name: str, kept: object, wanted: object) -> bool:
    if name == "source":
        return same_source(str(kept), str(wanted))
    if name == "base":
        return resolve_base(str(kept)) == resolve_base(str(wanted))
    if isinstance(kept, DeclaredTask):
        return kept == (DeclaredTask.model_validate(wanted) if isinstance(wanted, dict) else wanted)
    return kept == wanted


def _plain(record: BaseModel | None) -> dict[str, Any] | None:
    return None if record is None else record.model_dump(mode="json")


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
        raise CorruptFile(f"{path} cannot be read; delete it and run the same command again") from error
    if not isinstance(value, dict):
        raise CorruptFile(f"{path} does not hold a record; delete it and run the same command again")
    return value
