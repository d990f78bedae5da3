"""Failures that belong to the wire; the codec gives each its gRPC status."""

from medforge.errors import MedForgeError


class UploadConflict(MedForgeError):
    """Report an upload that does not continue what has been received; asking for the committed size again resolves it."""


class MissingBlob(MedForgeError):
    """Report a blob, a commit or a branch that the forge does not have, or not wholly."""


class OverLimit(MedForgeError):
    """Report a message or a branch that is larger than the forge admits."""
