"""What a site may say of its images and its plugin beside the branch itself."""

from __future__ import annotations

from dataclasses import dataclass

from medforge.class_statistics import ClassStatistics
from medforge.privacy_facts import PrivacyFacts


@dataclass(frozen=True, eq=False)
class SiteFacts:
    """Hold what a manifest may say, each None where the site says nothing; see `Manifest` for what they mean.

    ``statistics`` become a file of the branch.
    """

    modality: str | None = None
    classes: tuple[str, ...] | None = None
    class_counts: tuple[int, ...] | None = None
    distances: tuple[float, ...] | None = None
    temperature: float | None = None
    statistics: ClassStatistics | None = None
    split: str | None = None
    together: str | None = None
    leaks: int | None = None
    privacy: PrivacyFacts | None = None
