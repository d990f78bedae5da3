"""What a workspace's files say of stages that are done."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from medforge.errors import CorruptFile
from medforge.files import canonical_json, write_atomically


class Record(BaseModel):
    """Hold what one file says. Fields of a later version are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read a record, or None where there is none yet. Raises CorruptFile for a file that is no such record."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise CorruptFile(f"{path} cannot be read; delete it and run the same command again") from error

    def save(self, path: Path) -> None:
        """Write the record, which marks its stage as done."""
        write_atomically(path, canonical_json(self.model_dump(mode="json")) + b"\n")


class EpochRecord(Record):
    """Record one epoch: mean training loss, and on validation loss, accuracy, AUC and balanced accuracy, or None."""

    epoch: int
    train_loss: float
    loss: float
    acc: float
    auc: float | None
    balanced: float | None = None


class TrainingRecord(Record):
    """Say how a plugin was trained: the task's name, how many images, every epoch, and the one that was kept."""

    task: str
    images: int
    epochs: tuple[EpochRecord, ...]
    best: EpochRecord


class CandidateRecord(Record):
    """Record what a fresh plugin, and the images' linear discriminant, reached on validation from one step's images."""

    step: int
    acc: float
    loss: float
    discriminant: float | None = None


class DistillationRecord(Record):
    """Say how the images were distilled: every candidate, and the one that was kept."""

    candidates: tuple[CandidateRecord, ...]
    best: CandidateRecord


class ProgressRecord(Record):
    """Say how far a stage is, as `medforge.progress.Progress` writes it."""

    stage: str
    step: int
    total: int
    eta_seconds: float | None = None
    note: str = ""


class ReceiptRecord(Record):
    """Hold what a receipt says; `medforge.proto.receipt` verifies it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    forge: str
    arrival: int
    branch: str
    accepted_at: str
    epoch: str = ""


class TrainingSaved(Record):
    """Say how many epochs a checkpoint holds; `of` is None for one that an earlier version wrote."""

    stage: Literal["training"] = "training"
    epochs: int
    of: int | None
    steps: int | None


class DistillationSaved(Record):
    """Say how many steps a checkpoint holds."""

    stage: Literal["distillation"] = "distillation"
    steps: int
    of: int
