"""Files into S3: whole, or in parts that go on where an earlier try was stopped; confirmed before they count."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from hashlib import md5, sha256
from pathlib import Path
from typing import Any, BinaryIO

from medforge.aggregator.blobs.kept import BlobsUnavailable
from medforge.aggregator.blobs.s3 import S3
from medforge.faults import reached

PART_BYTES = 8 << 20
_MOST_PARTS = 9_000  # S3 takes 10,000
_TRIES = 3


class Sender:
    """Send files to one bucket. A key is there only once all its bytes are: S3 shows no object before its last part."""

    def __init__(self, s3: S3) -> None:
        self._s3 = s3

    def send(self, key: str, file: Path) -> None:
        """Send a file and see that S3 has it, whole; raises BlobsUnavailable where it has not, OSError of the disk."""
        size = file.stat().st_size
        if size <= PART_BYTES:
            data = file.read_bytes()
            self._s3.call("put_object", key=key, carries=size, Body=data, ChecksumSHA256=_base64(sha256(data).digest()))
        else:
            self._send_parts(key, file, size)
        self.confirm(key, size)

    def confirm(self, key: str, size: int) -> None:
        """Raise BlobsUnavailable unless S3 has an object of this size."""
        try:
            found = int(self._s3.call("head_object", key=key)["ContentLength"])
        except KeyError:
            found = -1
        if found != size:
            raise BlobsUnavailable(
                f"the blobs at {self._s3.address} did not keep what they were sent ({found} of {size} bytes); look at "
                f"that store, nothing was acknowledged"
            )

    def abort(self, key: str, upload: str) -> None:
        """Drop the parts of an unfinished upload."""
        try:
            self._s3.call("abort_multipart_upload", key=key, UploadId=upload)
        except KeyError:
            return

    def unfinished(self, prefix: str) -> list[dict[str, Any]]:
        """List the unfinished uploads below a prefix, oldest first."""
        found = self._s3.pages("list_multipart_uploads", "Uploads", Prefix=prefix)
        return sorted(found, key=lambda one: str(one.get("Initiated", "")))

    def _send_parts(self, key: str, file: Path, size: int) -> None:
        for last in range(_TRIES):
            try:
                self._complete(key, self._begun(key), file, size)
                return
            except KeyError:
                # another process finished or dropped this upload meanwhile; the size is confirmed in any case
                if last == _TRIES - 1:
                    raise BlobsUnavailable(
                        f"an upload to {self._s3.address} is dropped again and again; see that one forge alone uses "
                        f"that place, and that no rule there deletes unfinished uploads within hours"
                    ) from None

    def _begun(self, key: str) -> str:
        """Return the upload that was begun last, or a new one."""
        begun = [str(one["UploadId"]) for one in self.unfinished(key) if one["Key"] == key]
        if begun:
            return begun[-1]
        return str(self._s3.call("create_multipart_upload", key=key, ChecksumAlgorithm="SHA256")["UploadId"])

    def _complete(self, key: str, upload: str, file: Path, size: int) -> None:
        there = {
            int(part["PartNumber"]): part for part in self._s3.pages("list_parts", "Parts", Key=key, UploadId=upload)
        }
        parts = []
        with file.open("rb") as opened:
            for number, data in enumerate(_pieces(opened, size), start=1):
                parts.append(self._part(key, upload, number, data, there.get(number)))
                reached("between parts of a blob")
        self._s3.call("complete_multipart_upload", key=key, UploadId=upload, MultipartUpload={"Parts": parts})

    def _part(self, key: str, upload: str, number: int, data: bytes, there: dict[str, Any] | None) -> dict[str, Any]:
        checksum = _base64(sha256(data).digest())
        known = there is not None and (
            there.get("ChecksumSHA256") == checksum
            or str(there.get("ETag", "")).strip('"') == md5(data, usedforsecurity=False).hexdigest()
        )
        if there is None or not known:
            there = self._s3.call(
                "upload_part",
                key=key,
                carries=len(data),
                UploadId=upload,
                PartNumber=number,
                Body=data,
                ChecksumSHA256=checksum,
            )
        said = {"ChecksumSHA256": there["ChecksumSHA256"]} if there.get("ChecksumSHA256") else {}
        return {"PartNumber": number, "ETag": there["ETag"], **said}


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    length = max(PART_BYTES, -(-size // _MOST_PARTS))
    while piece := file.read(length):
        yield piece


def _base64(digest: bytes) -> str:
    return b64encode(digest).decode()
