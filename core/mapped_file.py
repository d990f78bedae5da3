"""Files that are mapped into memory instead of read."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from mmap import ACCESS_COPY, mmap
from typing import BinaryIO, TypeAlias

Bytes: TypeAlias = bytes | mmap
"""What something is read from: bytes, or a file that is mapped."""

# of Linux 5.14 and newer; Python's `mmap` has no name for it
_POPULATE_READ = 22
_PIECE = 1 << 20


def map_open(file: BinaryIO) -> Bytes:
    """Map an open file, so that what is not looked at is not read; writing there changes nothing of the file.

    The mapping outlives the open file, and its name.
    """
    # an empty file cannot be mapped
    return mmap(file.fileno(), 0, access=ACCESS_COPY) if os.fstat(file.fileno()).st_size else b""


def map_whole(file: BinaryIO) -> Bytes:
    """Map an open file, and have it read at once; raises OSError for what a disk cannot read, which kills who looks."""
    data = map_open(file)
    if isinstance(data, mmap) and sys.platform == "linux":
        with suppress(OSError):
            data.madvise(_POPULATE_READ)
            return data
    # an older kernel; or the disk, and this says what is wrong with it
    while file.read(_PIECE):
        pass
    return data
