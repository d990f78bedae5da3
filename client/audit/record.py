"""What an audit found, as it is kept in the workspace and bound to the bytes that it judged."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medforge.client.audit.policy import SitePolicy
from medforge.client.privacy.spending import Spending
from medforge.errors import CorruptFile
from medforge.files import write_atomically
from medforge.privacy_facts import PrivacyFacts

Measure = Literal["layout", "features"]
Target = Literal["distilled", "plugin", "statistics"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Closeness(_Record):
    """Say how close one distilled image comes to a real one in one measure.

    `relative` is its distance to the nearest real image over the typical one between real images, `quantile` the share
    of real images that lie as close to another real image or closer, `nearest` the position of that real image among
    training and then validation images, and `name` its file's name, hashed (see `client.audit.run.hashed`).
    """

    distance: float
    relative: float
    quantile: float
    nearest: int
    name: str


class Comparisons(_Record):
    """Hold the closeness of every distilled image, in order, in one measure, and what is typical between real ones."""

    typical: float
    references: int
    images: tuple[Closeness, ...]


class AttackResult(_Record):
    """Hold what one membership attack achieved: AUC with its 95 % interval, true positive rate at 1 % false ones.

    `rare` is that rate at .1 % false ones, where there are non-members enough; `shadows` how many shadow models the
    attack stands on, None where it needs none.
    """

    name: str
    target: Target
    auc: float
    low: float
    high: float
    tpr: float
    rare: float | None = None
    shadows: int | None = None


class NearestToMean(_Record):
    """Say which training image lies nearest to the mean of its class, in the base's features.

    `counted` are the images that were summed up; `distance` is that image's from the mean, `typical` the median one.
    """

    prompt: str
    counted: int
    distance: float
    typical: float
    nearest: int
    name: str


class StatisticsFound(_Record):
    """Say what class statistics hold: how many numbers, and in how many directions the covariance is the images' own.

    `classes` has those that send any.
    """

    numbers: int
    features: int
    directions: int
    classes: tuple[NearestToMean, ...]


class MostExposed(_Record):
    """Say which training image shadow plugins give away most.

    `ratio` is the natural logarithm of how much likelier what the plugin says of it is if the plugin was trained on it,
    `probability` what the plugin gives its right class, `inside` and `outside` what shadows in the middle give it that
    were trained on it or not. `others` is the highest `ratio` of a validation image, and `above` counts the training
    images that exceed it: what chance makes of the highest.
    """

    position: int
    name: str
    ratio: float
    probability: float
    inside: float
    outside: float
    others: float
    above: int


class ShadowsFound(_Record):
    """Say how many shadows were asked for and trained, and in sentences what could not be done.

    `exposed` is None where there were too few shadows to attack with; `stopped` says that time ran out.
    """

    asked: int
    trained: int
    exposed: MostExposed | None = None
    stopped: bool = False
    said: tuple[str, ...] = ()


class Measurements(_Record):
    """Hold all figures of an audit, before anybody judges them. `groups` counts patients or tiles where known.

    `statistics` is None for a branch without class statistics, `shadows` where none were asked for.
    """

    members: int
    others: int
    groups: int | None
    comparisons: dict[Measure, Comparisons]
    attacks: tuple[AttackResult, ...]
    statistics: StatisticsFound | None = None
    shadows: ShadowsFound | None = None


class Check(_Record):
    """Hold one judgement: `passed` is None where there are too few images to judge."""

    name: str
    value: float
    limit: float
    passed: bool | None
    sentence: str


class Override(_Record):
    """Say who let which failed checks pass, and when."""

    name: str
    at: datetime
    why: tuple[str, ...] = Field(description="the sentences of the failed checks, with their figures")
    files: dict[str, str]


class AuditRecord(_Record):
    """Hold an audit: what was judged (`files`: sha256 by name in the branch), by what policy, and how it came out.

    `privacy` is the differential privacy that the branch was made with, None for none; `spent` that of all branches of
    these images that the site counts.
    """

    format: Literal[1] = 1
    at: datetime
    task: str
    files: dict[str, str]
    policy: SitePolicy
    measured: Measurements
    checks: tuple[Check, ...]
    overrides: tuple[Override, ...] = ()
    privacy: PrivacyFacts | None = None
    spent: Spending | None = None

    @property
    def failed(self) -> tuple[str, ...]:
        """Return the sentences of the checks that failed."""
        return tuple(check.sentence for check in self.checks if check.passed is False)

    @property
    def passed(self) -> bool:
        """Say whether no check failed."""
        return not self.failed

    @property
    def overridden(self) -> Override | None:
        """Return the last override of exactly these failures of these bytes, if there is one."""
        return next((o for o in reversed(self.overrides) if o.files == self.files and o.why == self.failed), None)

    def override(self, name: str) -> AuditRecord:
        """Return the record with these failures let pass by `name`, now."""
        one = Override(name=name, at=datetime.now(UTC), why=self.failed, files=self.files)
        return self.model_copy(update={"overrides": (*self.overrides, one)})

    def save(self, path: Path) -> None:
        """Write the record."""
        write_atomically(path, self.model_dump_json(indent=1).encode() + b"\n")

    @classmethod
    def load(cls, path: Path) -> AuditRecord | None:
        """Read a record, or None where there is none. Raises CorruptFile for one that cannot be read."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise CorruptFile(f"{path} cannot be read; delete it and audit again") from error
