"""A forge's policy: how much may be sent, what a branch must show, who declares tasks, reviews, copies, privacy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from medforge.aggregator.forge.formats import unreadable
from medforge.files import canonical_json, read_file, write_atomically
from medforge.overrides import apply_changes
from medforge.privacy_facts import PrivacyBound
from medforge.proto.errors import OverLimit

POLICY_FILE = "policy.json"
_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def _in_bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+)\s*([KMGT]iB|B|)", value)
    if found is None:
        raise ValueError("write a whole number of bytes, KiB, MiB, GiB or TiB, for example 512MiB")
    return int(found[1]) * _UNITS[found[2]]


Bytes = Annotated[int, BeforeValidator(_in_bytes)]


# what threads, clocks and columns of a database can be asked for; a larger number would be an error somewhere else
_MOST_BYTES, _MOST_COUNT, _MOST_THREADS = 1 << 62, 1 << 31, 1 << 12
_LEAST_SECONDS, _MOST_SECONDS, _MOST_HOURS = 1e-3, 1e7, 1e6


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Limits(_Frozen):
    """Cap what a peer may send; what meets a cap exactly is admitted.

    In bytes: one chunk of an upload, one manifest, all files of one branch, all branches of one contributor that the
    forge keeps. Of one branch: tensors of its plugin, rank, images per class, classes, characters of a prompt. Of
    callers: uploads that are open at once, in all and by one contributor; the same for downloads, logs and watches;
    messages per second by one caller; seconds that an open call may bring nothing; hours that an upload which does not
    go on is kept. Of one contributor: short calls that are answered at once, bytes of uploads that no branch names yet,
    branches that wait to be folded, and, where they are given, the CPU seconds and bytes (received and sent) that calls
    and folds may cost in an hour. Of this machine: the bytes that uploads leave free on the forge's disk, so that a
    full disk stops uploads only, and those that copies of blobs may have there which lie elsewhere.
    """

    chunk: Bytes = Field(1 << 20, ge=1, le=1 << 28)
    manifest: Bytes = Field(1 << 20, ge=1, le=1 << 28)
    branch: Bytes = Field(1 << 30, ge=1, le=_MOST_BYTES)
    contributor: Bytes = Field(16 << 30, ge=1, le=_MOST_BYTES)
    tensors: int = Field(4096, ge=1, le=_MOST_COUNT)
    rank: int = Field(256, ge=1, le=_MOST_COUNT)
    images_per_class: int = Field(500, ge=1, le=_MOST_COUNT)
    classes: int = Field(200, ge=2, le=_MOST_COUNT)
    prompt_length: int = Field(400, ge=1, le=_MOST_COUNT)
    open_uploads: int = Field(64, ge=1, le=_MOST_THREADS)
    open_uploads_per_contributor: int = Field(16, ge=1, le=_MOST_THREADS)
    open_streams: int = Field(64, ge=1, le=_MOST_THREADS)
    open_streams_per_contributor: int = Field(16, ge=1, le=_MOST_THREADS)
    messages_per_second: float = Field(500, ge=1e-3, le=1e6)
    silent_seconds: float = Field(120, ge=_LEAST_SECONDS, le=_MOST_SECONDS)
    partial_hours: float = Field(168, gt=0, le=_MOST_HOURS)
    short_calls_per_contributor: int = Field(2, ge=1, le=_MOST_THREADS)
    partial: Bytes = Field(4 << 30, ge=1, le=_MOST_BYTES)
    waiting_per_contributor: int = Field(16, ge=1, le=_MOST_COUNT)
    cpu_seconds_per_hour: float | None = Field(None, ge=1e-3, le=_MOST_SECONDS)
    bytes_per_hour: Bytes | None = Field(None, ge=1, le=_MOST_BYTES)
    disk_reserve: Bytes = Field(256 << 20, ge=0, le=_MOST_BYTES)
    blob_cache: Bytes = Field(8 << 30, ge=0, le=_MOST_BYTES)


class Admission(_Frozen):
    """Say what a branch must show before it is merged; see `admission` and `examination` for the checks.

    ``weight_change`` bounds ‖ΔW‖ / ‖W‖ (Frobenius) at every site, ``brightness`` the distance of a distilled image's
    values from the range of real pixels, in widths of that range. With ``behaviour`` an arrival is examined before
    it is folded: by one-sided tests at ``significance``, by whether more than the share ``noise`` of random labelings
    tell its classes apart as well, where nobody else has them, by whether to the base module its images are as like
    those of the middle one of at most so many ``witnesses`` with classes of its own as a standard score of
    ``agreement`` over four opinions, of which two are asked, wants; and by whether an earlier task's accuracy on
    distilled data falls by more than ``margin``, in a task that it shares how well images are ranked too. Who is held
    together with branches of ``contradictions`` others has no voice in a further contradiction.

    How often these defaults hold an honest branch of a small centre, and which attacks: explanation-security.md. Of 42
    of larger centres 0.1.0 held none; ‖ΔW‖ / ‖W‖ was 1.4 at most.
    """

    weight_change: float = Field(4.0, gt=0)
    brightness: float = Field(1.0, ge=0)
    behaviour: bool = True
    significance: float = Field(0.05, gt=0, lt=0.5)
    noise: float = Field(0.15, gt=0, le=1)
    witnesses: int = Field(3, ge=0, le=100)
    agreement: float = Field(2.0, ge=0)
    margin: float = Field(0.1, ge=0, le=1)
    contradictions: int = Field(3, ge=1, le=_MOST_COUNT)


class Tasks(_Frozen):
    """Say who declares a forge's tasks: where they are ``open`` the first branch of each, else the maintainer alone.

    A policy that was written before tasks were declared names none of this, and is open.
    """

    open: bool = True


class Reviewing(_Frozen):
    """Say when a commit goes live where sites review what is merged; where none does, none of this matters.

    A task is harmed where its reviewers together lose more than ``margin`` of accuracy, or more than ``theft`` of their
    images to other tasks (``shared`` of either in a task that who came answers too, as hospitals that share an expert
    give and take), and where so much is less probable than ``significance``, shared by all that is tested at once,
    were it half of that in truth. No site counts as more than ``most_images`` images. A commit waits until those who
    have not spoken could make no difference, or more than the share ``quorum`` has spoken, or ``patience_hours`` are
    over; then it goes live with a warning, or waits on where ``after_patience`` says so. On a word that hangs on one
    reviewer, or on half of them, branches of at most ``lone`` contributors are held. Of a newcomer's images other tasks
    may take the share ``newcomer`` from the start. Branches that ``steadfast`` sites or more found to answer their own
    images are outvoted by no number of contributors who contradict them.
    """

    quorum: float = Field(1, ge=0.5, le=1)
    margin: float = Field(0.03, ge=0, le=1)
    shared: float = Field(0.1, ge=0, le=1)
    theft: float = Field(0.03, ge=0, le=1)
    newcomer: float = Field(0.1, ge=0, le=1)
    significance: float = Field(0.05, gt=0, lt=0.5)
    most_images: int = Field(1000, ge=1, le=_MOST_COUNT)
    patience_hours: float = Field(72, ge=0, le=_MOST_HOURS)
    after_patience: Literal["live", "wait"] = "live"
    lone: int = Field(3, ge=0, le=_MOST_COUNT)
    steadfast: int = Field(3, ge=1, le=_MOST_COUNT)


class OriginPolicy(_Frozen):
    """Say when an arrival is alike to another contributor's earlier one, and so held; see `main_branch.origin`.

    It is where the same file is in both, or where ``share`` of one's weight change, by ‖ΔW‖², lies at layers at which
    the cosine of the two is ``weights`` or more, or where ``share`` of one's distilled images are found in the other's,
    with a correlation of ``images`` or more. Of a branch that says which model of this forge it began from, what that
    explains is left out, unless the cosine is ``begun`` or more all the same. Without ``copies``, or without
    `Admission.behaviour`, nothing is compared.
    """

    copies: bool = True
    weights: float = Field(0.98, gt=0, le=1)
    begun: float = Field(0.98, gt=0, le=1)
    images: float = Field(0.985, gt=0, le=1)
    share: float = Field(0.25, gt=0, le=1)


class Policy(_Frozen):
    """Hold what a forge admits; its maintainer may change it at every start."""

    format: Literal[1] = 1
    limits: Limits = Limits()
    admission: Admission = Admission()
    tasks: Tasks = Tasks()
    review: Reviewing = Reviewing()
    origin: OriginPolicy = OriginPolicy()
    privacy: PrivacyBound = PrivacyBound()

    def save(self, directory: Path) -> None:
        """Write the policy into a forge's directory, durably."""
        write_atomically(directory / POLICY_FILE, canonical_json(self.model_dump(mode="json")))


def load_policy(directory: Path) -> Policy:
    """Read a forge's policy, the defaults where it has none; raises CorruptFile naming the setting that is wrong."""
    path = directory / POLICY_FILE
    if not path.exists():
        return Policy()
    try:
        return Policy.model_validate_json(read_file(path, "the forge's policy"))
    except ValidationError as error:
        raise unreadable(path, "a forge's policy", error, "mend it, or delete it for the defaults") from error


def policy_to_serve(directory: Path, new: bool) -> Policy:
    """Read the policy of a forge that is about to be served; a new one has its tasks declared by the maintainer.

    Raises as `load_policy` does.
    """
    policy = load_policy(directory)
    if new and "tasks" not in policy.model_fields_set:
        return policy.model_copy(update={"tasks": Tasks(open=False)})
    return policy


def change(policy: Policy, changes: Sequence[str]) -> Policy:
    """Return ``policy`` with ``changes`` such as "limits.branch=2GiB" applied; raises InvalidInput for a wrong one."""
    return apply_changes(
        policy,
        changes,
        "policy",
        "limits.NAME=VALUE, admission.NAME=VALUE, tasks.open=VALUE, review.NAME=VALUE, origin.NAME=VALUE or "
        "privacy.NAME=VALUE, e.g. limits.branch=2GiB",
    )


def check_at_most(who: str, value: int, unit: str, limit: int, remedy: str) -> None:
    """Raise OverLimit where something of somebody's is more than the forge admits."""
    if value > limit:
        raise OverLimit(
            f"{who} has {value} {unit} where this forge admits {limit}; {remedy}, or ask the forge for a higher limit"
        )
