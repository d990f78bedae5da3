"""A review with its reviewer's signature: how a commit does on a site's own images, in counts over all of them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from medforge.digested import DigestedModel
from medforge.errors import InvalidInput
from medforge.files import canonical_json, sha256_bytes
from medforge.manifest import NAME
from medforge.overrides import first_fault
from medforge.proto.errors import NotAllowed
from medforge.proto.signing import REVIEW, public_bytes, sign, verify
from medforge.proto.statements import review_statement

MOST_TASKS = 64
"""Tasks that one review may speak of."""
LONGEST_REVIEW = 1 << 16
"""Bytes that a review may have."""
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Name = Annotated[str, Field(pattern=NAME)]
_Count = Annotated[int, Field(ge=0, le=1 << 40)]
_Share = Annotated[FiniteFloat, Field(ge=0, le=1)]


class TaskReview(DigestedModel):
    """Count what a commit answers to a site's own validation images of one task, in all and against a baseline.

    Of `images`, `right` get the right class where the task is asked for. Against the `baseline` (a commit's digest;
    None where there was nothing to compare with) `lost` were right and are wrong now, `gained` the other way round;
    `taken` were routed to the task and go elsewhere now, `returned` the other way round. Where it is `alone` they are
    against no commit, but against what the site's own branch answers by itself, to which every image is at home.
    `routed` counts the images by the task that they go to, `nowhere` those that are none of these; a count that is too
    small is left out of both. `balanced` is the balanced accuracy and `confidence` the mean P(right class | task,
    image); None where the site adds noise, which neither would get.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger: ClassVar = frozenset({"alone"})

    baseline: _Digest | None = None
    images: Annotated[int, Field(ge=1, le=1 << 40)]
    right: _Count
    lost: _Count = 0
    gained: _Count = 0
    taken: _Count = 0
    returned: _Count = 0
    balanced: _Share | None = None
    confidence: _Share | None = None
    routed: dict[_Name, _Count] = Field(default_factory=dict, max_length=MOST_TASKS)
    nowhere: _Count | None = None
    alone: bool = False

    @model_validator(mode="after")
    def _fits(self) -> TaskReview:
        most = self.images
        sums = (
            self.right + self.lost,
            most - self.right + self.gained,
            self.taken + self.returned,
            sum(self.routed.values()) + (self.nowhere or 0),
        )
        changes = self.lost + self.gained + self.taken + self.returned
        if max(sums) > most or (self.baseline is None and not self.alone and changes):
            raise ValueError("its counts are not those of so many images")
        if self.alone and (self.baseline is not None or self.returned):
            raise ValueError("what is alone has no commit as its baseline, and no image that is not at home")
        return self


class Review(BaseModel):
    """Say how a commit (its digest) of a forge (a UUID) does on a reviewer's own images, by task.

    `threshold` is how many images a task, or a place that they are routed to, must have for its count to be sent.
    `epsilon` is set where the counts of each task were sent with ε-differential privacy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    forge: str = Field(min_length=1, max_length=100)
    reviewer: _Name
    commit: _Digest
    tasks: dict[_Name, TaskReview] = Field(max_length=MOST_TASKS)
    threshold: int = Field(ge=1)
    epsilon: float | None = Field(None, gt=0, le=1000, allow_inf_nan=False)
    software: str = Field(max_length=100)

    def to_bytes(self) -> bytes:
        """Return the canonical JSON of the review: the bytes that are sent, kept and signed."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """The SHA-256 of its bytes."""
        return sha256_bytes(self.to_bytes())

    @classmethod
    def parse(cls, data: bytes) -> Review:
        """Read a review that somebody sent. Raises InvalidInput for what is none."""
        if len(data) > LONGEST_REVIEW:
            raise InvalidInput(
                f"the review has {len(data)} bytes where {LONGEST_REVIEW} are admitted; review fewer tasks at once"
            )
        try:
            review = cls.model_validate_json(data)
        except ValidationError as error:
            raise InvalidInput(
                f"what came is no review ({first_fault(error)}); send it with `medforge review` of the forge's version"
            ) from error
        if review.to_bytes() != data:
            raise InvalidInput("the review is not in its canonical spelling; send it with `medforge review`")
        return review


class SignedReview(BaseModel):
    """Hold a review and the signature over it by the Ed25519 key whose public half is `key`, both in hex.

    Both are empty for a reviewer whom nobody invited, over plaintext.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    review: Review
    key: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    signature: str = Field(default="", pattern=r"^([0-9a-f]{128})?$")

    @classmethod
    def issue(cls, key: Ed25519PrivateKey, review: Review) -> SignedReview:
        """Sign a review; the same review always gets the same signature."""
        signature = sign(key, REVIEW, review_statement(review.forge, review.digest))
        return cls(review=review, key=public_bytes(key).hex(), signature=signature.hex())

    def verify(self) -> None:
        """Raise NotAllowed unless the owner of `key` signed exactly this review for its forge."""
        try:
            statement = review_statement(self.review.forge, self.review.digest)
            verify(bytes.fromhex(self.key), REVIEW, statement, bytes.fromhex(self.signature))
        except NotAllowed as error:
            raise NotAllowed(
                f"the review of commit {self.review.commit[:12]} by {self.review.reviewer} is not signed by the key "
                f"{self.key[:12]}; restore the ledger from a backup"
            ) from error
