"""A branch that was checked, and is about to become an arrival."""

from __future__ import annotations

from dataclasses import dataclass

from medforge.aggregator.ledger.records import Arriving
from medforge.manifest import Manifest


@dataclass(frozen=True)
class Candidate:
    """Hold a branch's manifest, with its bytes, its contributor's signature and who brought it, where that is known.

    `limited` says that its contributor may have only so many branches waiting, as whoever comes from outside.
    """

    manifest: Manifest
    content: bytes
    signature: bytes
    holder: str | None
    limited: bool

    @property
    def blobs(self) -> set[str]:
        """The digests of its manifest and files."""
        return {self.manifest.digest, *(entry.digest for entry in self.manifest.files.values())}

    @property
    def arriving(self) -> Arriving:
        """What the ledger notes of it."""
        said = self.manifest
        return Arriving(
            said.digest, said.contributor, said.task, said.size, self.signature, said.display_name, said.privacy
        )
