"""What is known of one image after a look at it, and how that is kept."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from medforge.client.data.inspection.sketch import BYTES
from medforge.errors import CorruptFile

_HEAD = struct.Struct("<32sIIH")


@dataclass(frozen=True)
class Facts:
    """Hold an image's digest (sha256, hex; equal for equal bytes), size, mode, and its sketch as bytes.

    Width and height are 0 where the source does not say.
    """

    digest: str
    width: int
    height: int
    mode: str
    sketch: bytes

    def to_bytes(self) -> bytes:
        """Write the facts as one row of a cache."""
        mode = self.mode.encode()
        return _HEAD.pack(bytes.fromhex(self.digest), self.width, self.height, len(mode)) + mode + self.sketch

    @classmethod
    def of_bytes(cls, row: bytes) -> Facts:
        """Read what `to_bytes` wrote; raises CorruptFile for anything else."""
        try:
            digest, width, height, letters = _HEAD.unpack_from(row)
            mode = row[_HEAD.size : _HEAD.size + letters].decode()
        except (struct.error, UnicodeDecodeError) as error:
            raise CorruptFile("a row of the cache of images is not whole; it is made anew") from error
        sketch = row[_HEAD.size + letters :]
        if len(sketch) != BYTES:
            raise CorruptFile("a row of the cache of images is not whole; it is made anew")
        return cls(digest.hex(), width, height, mode, sketch)
