"""Failures that a user or a peer can cause; each message is one sentence that names the remedy."""

import re

LONGEST_SENTENCE = 2000
# sentences quote what peers sent; a control character could move a terminal's cursor or begin a new line of a log
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def printable(text: str) -> str:
    """Replace what a terminal or a log would obey, so that a peer's text can be shown."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


class MedForgeError(Exception):
    """Report a mistake that somebody outside the program can mend, in a sentence of one line."""

    def __str__(self) -> str:
        sentence = printable(super().__str__())
        return sentence if len(sentence) <= LONGEST_SENTENCE else f"{sentence[: LONGEST_SENTENCE - 1]}…"


class InvalidInput(MedForgeError):
    """Report a path, an option or a file's content that cannot be used."""


class CorruptFile(InvalidInput):
    """Report a file that is truncated, malformed, or not what its digest says."""


class InvalidBranch(MedForgeError):
    """Report a branch that must not enter a forge: wrong shapes, values that are not finite, wrong digests."""


class BaseMismatch(InvalidBranch):
    """Report a branch that was made on another base module than the forge's."""


class ForgeUnavailable(MedForgeError):
    """Report a forge that cannot be reached, or that keeps failing."""
