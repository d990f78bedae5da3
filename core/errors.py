"""Failures that a user or a peer can cause; each message is one sentence that names the remedy after a semicolon.

    MedForgeError
    ├── InvalidInput            a path, an option or a file's content that cannot be used
    │   ├── CorruptFile         truncated, malformed, or not what its digest says
    │   │   └── HistoryRewritten  commits that are not those that the forge told before (proto)
    │   ├── OtherVersion        written by another version of the software
    │   ├── SourceProblems      a data set with several things wrong (client)
    │   └── WorkspaceBusy       another process is working there (client)
    ├── InvalidBranch           must not enter a forge
    │   ├── BaseMismatch        made on another base module
    │   ├── BranchHeld          waits for a maintainer (aggregator)
    │   └── AlreadyHere         has what another branch of its contributor has (proto)
    ├── ForgeUnavailable        cannot be reached, or keeps failing
    │   ├── TooFast             more messages a second than the forge answers (proto)
    │   ├── ForgeFault          failed by no fault of the caller's (proto)
    │   ├── LedgerUnavailable   has a ledger whose database does not answer (aggregator)
    │   ├── LeaseLost           has its ledger no more, or cannot be sure of it (aggregator)
    │   └── BlobsUnavailable    cannot reach the blobs that it keeps elsewhere (aggregator)
    │       └── BlobsRefused    is not let in where they are (aggregator)
    ├── UploadConflict          an upload that does not continue what was received (proto)
    ├── NotFound                an arrival, a branch or a commit that the forge does not have (proto)
    │   └── MissingBlob         a file that it does not have, or not wholly (proto)
    ├── OverLimit               larger than the forge admits (proto)
    ├── NotAllowed              this caller may not do that (proto)
    ├── NotKnown                a caller who did not say who it is (proto)
    ├── LedgerConflict          what the ledger says does not admit it (aggregator)
    ├── TrackingFailed          curves that cannot be written where they were to be
    ├── EgressRefused           kept in the house by the site's own gate (client)
    └── Incomplete              not all came; the same command goes on (simulation)

`code` is what a script reads under `--json`, `exit_code` what the command ends with (docs/reference-exit-codes.md).
"""

import re
from typing import ClassVar

LONGEST_SENTENCE = 2000
# sentences quote what peers sent; a control character could move a terminal's cursor or begin a new line of a log
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    """Replace what a terminal or a log would obey, so that a peer's text can be shown."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def split_remedy(sentence: str) -> tuple[str, str | None]:
    """Return what is wrong and what to do about it, which follows the last semicolon; None where nothing does."""
    cause, semicolon, remedy = sentence.rpartition("; ")
    return (cause, remedy) if semicolon else (sentence, None)


class MedForgeError(Exception):
    """Report a mistake that somebody outside the program can mend, in a sentence of one line."""

    code: ClassVar[str] = "failed"
    exit_code: ClassVar[int] = 2
    details: tuple[str, ...] = ()
    """Further sentences of the same kind, where several things are wrong at once."""

    def __str__(self) -> str:
        sentence = printable(super().__str__())
        return sentence if len(sentence) <= LONGEST_SENTENCE else f"{sentence[: LONGEST_SENTENCE - 1]}…"


class InvalidInput(MedForgeError):
    """Report a path, an option or a file's content that cannot be used."""

    code = "invalid-input"


class CorruptFile(InvalidInput):
    """Report a file that is truncated, malformed, or not what its digest says."""

    code = "corrupt-file"


class OtherVersion(InvalidInput):
    """Report what another version of the software wrote, and this one cannot read, or may not write as it is."""

    code = "other-version"


class InvalidBranch(MedForgeError):
    """Report a branch that must not enter a forge: wrong shapes, values that are not finite, wrong digests."""

    code = "invalid-branch"


class BaseMismatch(InvalidBranch):
    """Report a branch that was made on another base module than the forge's."""

    code = "base-mismatch"


class ForgeUnavailable(MedForgeError):
    """Report a forge that cannot be reached, or that keeps failing."""

    code = "forge-unavailable"
    exit_code = 3
