"""Failures that belong to the wire; `medforge.proto.status` gives each its gRPC status."""

from medforge.errors import CorruptFile, ForgeUnavailable, InvalidBranch, MedForgeError


class UploadConflict(MedForgeError):
    """Report an upload that does not continue what has been received; asking for the received size resolves it."""

    code = "upload-conflict"


class NotFound(MedForgeError):
    """Report an arrival, a branch or a commit that the forge does not have, or not any more."""

    code = "not-found"


class MissingBlob(NotFound):
    """Report a blob that the forge does not have, or not wholly; uploading it mends that."""

    code = "missing-blob"


class AlreadyHere(InvalidBranch):
    """Report a branch whose plugin and images its contributor has in this forge already, in another branch."""

    code = "already-here"


class OverLimit(MedForgeError):
    """Report a message or a branch that is larger than the forge admits."""

    code = "over-limit"
    exit_code = 4


class TooFast(ForgeUnavailable):
    """Report a caller who sends more messages per second than the forge answers; waiting mends it."""

    code = "too-fast"


class NotAllowed(MedForgeError):
    """Report something that this caller may not do: a wrong signature, another's name, a revoked certificate."""

    code = "not-allowed"
    exit_code = 4


class NotKnown(MedForgeError):
    """Report a caller who did not say who it is where that is asked for."""

    code = "not-identified"
    exit_code = 4


class ForgeFault(ForgeUnavailable):
    """Report that the forge failed in a way that is not the caller's doing; the forge's own log says why."""

    code = "forge-fault"


class HistoryRewritten(CorruptFile):
    """Report a forge whose commits are not those that it told before, and that does not say of a restore why."""

    code = "history-rewritten"
