"""A centre's workspace: one directory that knows what is trained, distilled, committed, audited and pushed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from medforge.base_facts import BaseFacts
from medforge.client.audit.record import AuditRecord
from medforge.client.privacy.plan import kept_plan
from medforge.client.privacy.spending import Spending, together
from medforge.client.records import (
    DistillationRecord,
    DistillationSaved,
    ProgressRecord,
    ReceiptRecord,
    TrainingRecord,
    TrainingSaved,
)
from medforge.client.saved import CHECKPOINT_FILE, distillation_saved, training_saved
from medforge.client.settings import Settings, agree, difference
from medforge.contributor_name import identifier_of
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import PRIVATE, canonical_json, make_private, sha256_file, write_atomically
from medforge.manifest import MANIFEST_FILE

RECORD_FILE = "history.json"
_KEPT = (RECORD_FILE, CHECKPOINT_FILE)


class WorkspaceBusy(InvalidInput):
    """Report that another process is working in a workspace."""

    code = "workspace-busy"


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
        self.base_file = self.training / "base.json"
        self.privacy = path / "privacy"
        self.distillation = path / "distillation"
        self.distilled_file = self.distillation / "distilled.safetensors"
        self.branch = path / "branch"
        self.audit_file = path / "audit" / "audit.json"
        self.audit_report = path / "audit" / "report.html"
        self.receipt_file = path / "receipt.json"
        self.forge_file = path / "forge.json"
        self.progress_file = path / "progress.json"
        self.cache = path / "cache"
        self.shadows = self.cache / "shadows"
        self.embeddings_file = self.cache / "embeddings.safetensors"

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
    def base(self) -> BaseFacts | None:
        """Return what the base module said of itself in training; None before, and where an earlier version trained.

        Raises CorruptFile where it cannot be read.
        """
        if not self.base_file.exists():
            return None
        try:
            return BaseFacts.model_validate_json(self.base_file.read_bytes())
        except ValidationError as error:
            raise CorruptFile(f"{self.base_file} cannot be read; restore it or begin another workspace") from error

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

    def allow_statistics(self, allowed: bool) -> None:
        """Say whether class statistics may be sent; a branch that was committed otherwise is to be committed again.

        Raises InvalidInput where it was pushed already.
        """
        settings = self.settings
        if settings.statistics == allowed:
            return
        receipt = self.pushed
        if receipt is not None and receipt.branch == self.committed:
            raise InvalidInput(
                f"the branch was pushed already, as arrival {receipt.arrival}; to change what it holds, begin another "
                "workspace and have the forge withdraw and erase the arrival"
            )
        # the branch first: what was left out must not be there after a kill in between
        (self.branch / MANIFEST_FILE).unlink(missing_ok=True)
        self.create(settings.model_copy(update={"statistics": allowed}))

    def require(self, wanted: Mapping[str, object]) -> Settings:
        """Return the settings, having checked that they agree with what is `wanted` of them.

        Raises InvalidInput naming the first setting that differs.
        """
        settings = self.settings
        for name, value in wanted.items():
            kept = getattr(settings, name)
            if not agree(name, kept, value):
                what, remedy = difference(name, kept, value)
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
        manifest = self.branch / MANIFEST_FILE
        return sha256_file(manifest) if manifest.exists() else None

    @property
    def committed_files(self) -> dict[str, str]:
        """Return the sha256 of every file of the branch by its name; empty while there is none. Raises CorruptFile."""
        path = self.branch / MANIFEST_FILE
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
    def spent(self) -> Spending | None:
        """Return what the branch spends of the images' privacy, together with those that it was begun after.

        None without differential privacy, and while no plan is made.
        """
        plan = kept_plan(self.privacy)
        return None if plan is None or self.settings.epsilon is None else together(self.settings.earlier, plan)

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
            **settings.model_dump(mode="json", exclude={"recipe", "earlier"}),
            **self._contributor(),
            "recipe": settings.recipe.get("name"),
            "epsilon": settings.epsilon,
            "spent": _plain(self.spent),
            "trained": trained and trained.best.model_dump(mode="json"),
            "distilled": distilled and distilled.best.model_dump(mode="json"),
            "saved": {
                "training": _plain(self.saved_training),
                "distillation": _plain(self.saved_distillation),
            },
            "committed": self.committed,
            "files": sorted(self.committed_files),
            "audited": _audit_state(self.audited),
            "pushed": _plain(pushed),
            "progress": _plain(progress),
        }

    def _contributor(self) -> dict[str, str | None]:
        """Return who the branch is of, or was named for it so far, as an identifier and as it is written for people."""
        manifest = _read_json(self.branch / MANIFEST_FILE)
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
        """Keep other processes from working here at the same time. Raises WorkspaceBusy when one already does."""
        lock = FileLock(self.path / ".lock", timeout=0, mode=PRIVATE)
        try:
            # the lock makes missing folders too, for everybody
            make_private(self.path)
            lock.acquire()
        except Timeout as error:
            raise WorkspaceBusy(
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
