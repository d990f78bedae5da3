"""What a store of finished blobs does, wherever they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Protocol

from medforge.errors import ForgeUnavailable


class BlobsUnavailable(ForgeUnavailable):
    """Report blobs that lie elsewhere and cannot be reached just now."""

    code = "blobs-unavailable"


class KeptBlobs(Protocol):
    """Keep finished blobs under their digests; what has its name is whole, verified and durable.

    A blob comes in by three steps, of which a directory takes all with few syncs: `secure` makes what is in files
    durable, `name` lets one bear its name, `seal` makes names durable. Nobody deletes meanwhile. Safe for any number of
    threads. Raises BlobsUnavailable where blobs that lie elsewhere do not answer.
    """

    def has(self, digest: str) -> bool:
        """Say whether the blob is kept."""

    def confirmed(self, digests: Set[str]) -> set[str]:
        """Return which of these are kept, asked anew of what keeps them."""

    def at_hand(self, digest: str) -> Path | None:
        """Return the file on this machine that the blob lies in, None where nothing could be read without a fetch."""

    def fetched(self, digest: str) -> Path:
        """Return the file on this machine that the blob lies in, fetched if need be, or would lie in.

        Raises CorruptFile where what is fetched is not what its name says.
        """

    def size(self, digest: str) -> int | None:
        """Return the size of a blob in bytes, None where it is not kept."""

    def touch(self, digest: str) -> bool:
        """Say whether the blob is kept, and if so let it count as just written."""

    def send_ahead(self, files: Mapping[str, Path]) -> None:
        """Send what is in files to where it will be kept, before anybody waits for it; a directory has no need to."""

    def secure(self, files: Mapping[str, Path]) -> dict[str, Exception]:
        """Make what is in files durable; returns, once all are through, those that could not be, with why."""

    def name(self, digest: str, file: Path) -> None:
        """Let a blob bear its name, from a file that is durable, which goes; one that bears it already is no error."""

    def seal(self, digests: Set[str]) -> None:
        """Make the names of blobs durable."""

    def keep(self, digest: str, file: Path) -> None:
        """Take one file in, durably, all steps at once."""

    def spare(self, digest: str, file: Path) -> None:
        """Take a verified file that nobody needs any more beside the blob that is kept; it goes."""

    def remove(self, digest: str) -> None:
        """Delete a blob, wherever copies of it are; deleting an absent one changes nothing."""

    def present(self) -> Iterator[str]:
        """Return the digests of all that is kept."""

    def untouched(self, before: float) -> set[str]:
        """Return the digests of what was last touched before a time (epoch s)."""

    def is_untouched(self, digest: str, before: float) -> bool:
        """Say of one of `untouched` whether it still is: what is touched meanwhile is wanted."""

    def tidy(self, before: float) -> None:
        """Delete what is left of transfers that were begun before a time (epoch s) and not finished."""

    def digest_of(self, digest: str) -> str:
        """Return the digest that a kept blob's bytes have, read where they are kept."""

    def forget_copy(self, digest: str) -> bool:
        """Drop the copy on this machine of a blob that is kept elsewhere; False where there is no other."""

    def where(self, digest: str) -> str:
        """Return how the place of a blob is called in a sentence."""

    def problem(self) -> str:
        """Ask what keeps the blobs for an answer; return what is wrong in a sentence, empty where nothing is."""
