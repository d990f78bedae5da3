"""Failures that a user or a peer can cause; each message is one sentence that names the remedy."""


class MedForgeError(Exception):
    """Report a mistake that somebody outside the program can mend."""


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
