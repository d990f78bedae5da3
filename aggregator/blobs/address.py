"""Where a forge's finished blobs are, where that is not its own directory: `s3://BUCKET/PREFIX`."""

from __future__ import annotations

import re
from typing import NamedTuple

from medforge.errors import InvalidInput

_SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9!_.'()-]+(/[A-Za-z0-9!_.'()-]+)*")


class BlobAddress(NamedTuple):
    """Name a bucket, and the prefix of a forge's keys in it, which may be empty."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{_SCHEME}{self.bucket}{'/' if self.prefix else ''}{self.prefix}"

    def key(self, name: str) -> str:
        """Return the key of something of the forge's."""
        return f"{self.prefix}/{name}" if self.prefix else name


def parse_blob_address(text: str) -> BlobAddress:
    """Read an address; raises InvalidInput that shows nothing of it, as somebody may have put a password there."""
    bucket, _, prefix = text.removeprefix(_SCHEME).rstrip("/").partition("/")
    named = not prefix or (_PREFIX.fullmatch(prefix) and not {".", ".."}.intersection(prefix.split("/")))
    if not text.startswith(_SCHEME) or not _BUCKET.fullmatch(bucket) or not named:
        raise InvalidInput(
            "the address given is no place for blobs; write s3://BUCKET or s3://BUCKET/PREFIX, and give the endpoint "
            "and the credentials as AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or in files of AWS's"
        )
    return BlobAddress(bucket, prefix)
