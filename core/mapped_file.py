"""Files that are mapped into memory instead of read."""

from __future__ import annotations

import os
from mmap import ACCESS_COPY, mmap
from typing import BinaryIO, TypeAlias

Bytes: TypeAlias = bytes | mmap
"""What something is read from: bytes, or a file that is mapped."""


def map_open(file: BinaryIO) -> Bytes:
    """Map an open file, so that what is not looked at is not read; writing there changes nothing of the file.

    The mapping outlives the open file, and its name.
    """
    # an empty file cannot be mapped
    return mmap(file.fileno(), 0, access=ACCESS_COPY) if os.fstat(file.fileno()).st_size else b""
