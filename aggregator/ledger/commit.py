"""One round of the main branch: what was folded, how, and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import isfinite
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    ConfigDict,
    Field,
    FiniteFloat,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    field_validator,
)

from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.merge import MethodSettings
from medforge.digested import DigestedModel
from medforge.errors import CorruptFile
from medforge.files import canonical_json, sha256_bytes
from medforge.runs import Runs


def _members(said: Any) -> Runs:
    if isinstance(said, Runs):
        return said
    if not isinstance(said, (list, tuple)):
        raise ValueError("members are no list")
    return Runs.read(said)


# held by their runs: a reader of many commits holds them all, and each says all members
Members = Annotated[Sequence[int], PlainValidator(_members), PlainSerializer(list, return_type=list[int])]


class Commit(DigestedModel):
    """Record one change of the main branch; its digest covers its parent's, so a forge's commits form a hash chain.

    `kind` says whether `arrival` was folded, removed (withdrawn, reverted) or restored; `members` are the arrivals that
    the main branch is made of from here on, in the order of folding. `parent` is the digest of the commit before it
    (None for the first), `branch` and the keys of `coefficients` are branch digests (methods that combine factors weigh
    both factors by them, so that −1 on one plugin alone is as 1; there are none where the forge item's own cards say
    what every branch counts), `base` is the base module's
    fingerprint, `compute` the device and dtype of the fold, `item` the forge item's digest (None where nobody is left)
    and `item_files` the blob digest of each of its files. `processor` is the kind of processor (see `processor_kind`;
    0.1.0 recorded none). No clock, no forge id and no number of cores is inside: the same arrivals under the same
    settings give the same chain, on the same kind of processor with the same libraries. Its bytes do not grow with the
    members: `content` says them as runs (format 2, of 0.1.0, one by one).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger: ClassVar[frozenset[str]] = frozenset({"processor"})

    format: Literal[2, 3] = 3
    kind: Literal["fold", "remove", "restore"] = "fold"
    parent: str | None
    arrival: int
    members: Members
    contributor: str
    task: str
    branch: str
    method: MethodSettings
    coefficients: dict[str, FiniteFloat]
    metrics: dict[str, TaskScore]
    seed: int
    software: dict[str, str]
    base: str
    compute: str
    item: str | None
    item_files: dict[str, str]
    processor: dict[str, str] = Field(default_factory=dict)

    @field_validator("metrics")
    @classmethod
    def _finite(cls, metrics: dict[str, TaskScore]) -> dict[str, TaskScore]:
        if not all(isfinite(value) for score in metrics.values() for value in (score.loss, score.acc)):
            raise ValueError("every loss and accuracy must be finite")
        return metrics

    @cached_property
    def content(self) -> bytes:
        """Return the canonical JSON of the commit: the bytes that are stored, sent and digested."""
        return self._spelled()

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of `content` in hex."""
        return sha256_bytes(self.content)

    @classmethod
    def parse(cls, content: bytes, digest: str) -> Commit:
        """Read a commit back from its bytes; raise CorruptFile unless they are a commit with this digest."""
        check_commit_digest(content, digest)
        try:
            commit = cls.model_validate_json(content)
        except ValidationError as error:
            raise CorruptFile(
                f"commit {digest[:12]} cannot be read by this version of medforge "
                f"({error.error_count()} fields differ); use the version that wrote it"
            ) from error
        # not `commit.content`, which once read would go along into changed copies
        if commit._spelled() != content:
            raise CorruptFile(
                f"commit {digest[:12]} is not in its canonical spelling; read it again, or restore it from a backup"
            )
        return commit

    def _spelled(self) -> bytes:
        if self.format == 2:
            return canonical_json(self.model_dump(mode="json"))
        return canonical_json(self.model_dump(mode="json", exclude={"members"}) | {"members": Runs(self.members).runs})


def check_commit_digest(content: bytes, digest: str) -> None:
    """Raise CorruptFile unless a commit's bytes have the digest that it is known by."""
    if sha256_bytes(content) != digest:
        raise CorruptFile(f"commit {digest[:12]} does not have the digest it is known by; restore it from a backup")


def check_chain(commits: Sequence[Commit], before: Commit | None = None) -> None:
    """Check that each commit names the one before as its parent, the first the one `before` them (None: none).

    Raises CorruptFile otherwise.
    """
    parent = before.digest if before else None
    for commit in commits:
        check_parent(commit, parent)
        parent = commit.digest


def check_parent(commit: Commit, parent: str | None) -> None:
    """Check that a commit names the one before (by its digest; None: it is the first); raise CorruptFile otherwise."""
    if commit.parent != parent:
        raise CorruptFile(
            f"commit {commit.digest[:12]} does not follow {parent[:12] if parent else 'an empty main branch'}; "
            f"the ledger has been altered, restore it from a backup"
        )
