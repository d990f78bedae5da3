"""What a site remembers of its reviews: how many of its images each commit got right, to compare with the best.

Were each commit compared with the one before it alone, many small losses would pass that add up.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medforge.client.data.task import Split
from medforge.client.review.question import Question, ReviewedCommit
from medforge.errors import CorruptFile
from medforge.files import canonical_json, read_file, sha256_bytes, write_atomically

_MOST = 200


class ReviewMemory(BaseModel):
    """Hold by commit how many of the validation images (named by a digest) were right, for one forge (a UUID)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    forge: str
    images: str
    right: dict[str, int] = Field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, forge: str, split: Split) -> ReviewMemory:
        """Read what is remembered; nothing where that is of another forge or other images. Raises CorruptFile."""
        images = sha256_bytes(canonical_json([list(split.images.names), split.labels.tolist()]))
        new = cls(forge=forge, images=images)
        if not path.exists():
            return new
        try:
            known = cls.model_validate_json(read_file(path, "what is remembered of reviews"))
        except ValidationError as error:
            raise CorruptFile(f"{path} cannot be read; delete it and review again") from error
        return known if (known.forge, known.images) == (forge, images) else new

    def best(self, question: Question, among: Collection[str]) -> ReviewedCommit:
        """Return the commit to compare with: `among` them the one with most right, the newest of several."""
        known = [question.commits[digest] for digest in self.right if digest in among]
        return max(known, key=lambda one: (self.right[one.digest], one.number), default=question.stable)

    def save(self, path: Path, found: dict[str, int]) -> None:
        """Remember some more commits; of many, those with most right stay."""
        kept = sorted((self.right | found).items(), key=lambda pair: -pair[1])[:_MOST]
        write_atomically(path, canonical_json(self.model_copy(update={"right": dict(kept)}).model_dump(mode="json")))
