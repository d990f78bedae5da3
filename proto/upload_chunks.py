"""A file, or several, cut into the chunks that an upload sends: larger ones where the line is quick."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medforge.proto import forge_pb2 as pb
from medforge.proto.errors import ForgeFault

_LARGEST = 1 << 20
_QUICK_SECONDS = 0.1


@dataclass(frozen=True)
class Part:
    """Name a file that is sent, by its digest, from the byte on that the forge lacks."""

    digest: str
    path: Path
    offset: int

    def check(self, at: str) -> int:
        """Return the size of the file; raises ForgeFault where the forge says that it has more."""
        total = self.path.stat().st_size
        if self.offset > total:
            raise ForgeFault(
                f"the forge at {at} says that it has {self.offset} of {total} bytes; tell whoever runs the forge"
            )
        return total


def cut(part: Part, size: int, most: int = _LARGEST, together: bool = False) -> Iterator[pb.UploadChunk]:
    """Yield a file's chunks, the first of `size` bytes, and of up to `most` while each leaves in a moment.

    What is lost where the line breaks is a chunk at most, and on a slow one each takes its time: so they are small
    there. At least one chunk goes, even where no byte is left: it makes the forge verify and keep what it has.
    """
    total, offset, length = part.path.stat().st_size, part.offset, size
    with part.path.open("rb") as file:
        file.seek(offset)
        data = file.read(length)
        while True:
            begun = time.monotonic()
            yield pb.UploadChunk(digest=part.digest, total=total, offset=offset, data=data, together=together)
            # gRPC asks for the next one once the line has taken this one
            quick = time.monotonic() - begun < _QUICK_SECONDS
            length = max(size, min(2 * length, most, _LARGEST)) if quick else size
            offset += len(data)
            data = file.read(length)
            if not data:
                return
