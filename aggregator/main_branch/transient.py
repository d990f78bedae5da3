"""Failures that are the machine's and may pass, apart from those that belong to a branch."""

import errno

import torch
from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.blobs.kept import BlobsUnavailable
from medforge.aggregator.ledger.database import LeaseLost
from medforge.errors import MedForgeError

_SHORTAGES = (MemoryError, torch.OutOfMemoryError, SQLAlchemyError, LeaseLost, BlobsUnavailable)
_CODES = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN}
)


def is_transient(error: BaseException) -> bool:
    """Say whether something was lacking that may come back (disk, memory, database, blobs): no branch is to blame."""
    return isinstance(error, _SHORTAGES) or (isinstance(error, OSError) and error.errno in _CODES)


PARKED = (
    "this forge could not fold it, which says nothing about the branch; its maintainer finds the fault in the log, and "
    "it is tried again when the forge is next started"
)
"""Why a branch waits whose fold raised what nobody expected: a fault of the software, whose words are the log's."""


def reason_of(error: Exception) -> str:
    """Say in one sentence why a branch is held."""
    return str(error) if isinstance(error, MedForgeError) else PARKED
