"""One bucket of an S3-compatible server, through fsspec: every call has a deadline, and errors say no secret."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from medforge.aggregator.blobs.address import BlobAddress
from medforge.aggregator.blobs.kept import BlobsUnavailable
from medforge.errors import InvalidInput

_SECONDS = 9.0
_CONNECT_SECONDS = 3
_SLOWEST = 1 << 20  # bytes a second that a transfer must make beyond those seconds
_TRIES = 2
_ABSENT = {"404", "NoSuchKey", "NoSuchUpload", "NoSuchVersion"}
_REFUSING = {
    "NoSuchBucket": "there is no such bucket",
    "AccessDenied": "its credentials may not do that",
    "403": "its credentials may not do that",
    "AllAccessDisabled": "its credentials may not do that",
    "InvalidAccessKeyId": "its credentials are not known there",
    "SignatureDoesNotMatch": "its credentials are wrong",
    "InvalidToken": "its credentials are not known there",
    "ExpiredToken": "its credentials have ended",
    "RequestTimeTooSkewed": "the clocks differ too much",
    "PermanentRedirect": "the bucket is in another region",
    "AuthorizationHeaderMalformed": "the bucket is in another region",
    "NoCredentialsError": "no credentials are given",
    "PartialCredentialsError": "half of the credentials is missing",
    "ProfileNotFound": "AWS_PROFILE names no profile",
}


class BlobsRefused(BlobsUnavailable):
    """Report a store of blobs that answers, and does not let this forge in."""

    code = "blobs-refused"


class S3:
    """Call one bucket. Safe for any number of threads; raises BlobsUnavailable, and KeyError for what is not there.

    Endpoint, region and credentials come from where fsspec and AWS's tools look for them: the environment, files and
    the machine's own role.
    """

    def __init__(self, address: BlobAddress, seconds: float = _SECONDS) -> None:
        """Take the bucket's address, and how many seconds a call may take that carries little."""
        if find_spec("s3fs") is None:
            raise InvalidInput("blobs in S3 need s3fs; install it with pip install 'medforge[s3]'")
        self.address = address
        self._seconds = seconds
        self._lock = threading.Lock()
        self._system: Any = None

    def call(self, name: str, *, key: str | None = None, carries: int = 0, **options: Any) -> dict[str, Any]:
        """Make one call of S3's by its name in botocore; `carries` so many bytes."""
        target = {"Bucket": self.address.bucket} | ({} if key is None else {"Key": key})
        return dict(self._done("call_s3", name, carries, **target, **options) or {})

    def read(self, key: str, start: int, end: int) -> bytes:
        """Read the bytes of an object from one place up to another."""
        path = f"{self.address.bucket}/{key}"
        return bytes(self._done("cat_file", path, end - start, start=start, end=end))

    def pages(self, name: str, items: str, **options: Any) -> Iterator[dict[str, Any]]:
        """Yield what a call lists, page after page; it takes a prefix and goes on by markers."""
        again: dict[str, Any] = {}
        while True:
            page = self.call(name, **options, **again)
            yield from page.get(items) or ()
            if not page.get("IsTruncated"):
                return
            again = _next(page)

    def _done(self, method: str, what: str, carries: int, **options: Any) -> Any:
        seconds = self._seconds + carries / _SLOWEST
        try:
            return getattr(self._opened(), method)(what, timeout=seconds, **options)
        except Exception as error:
            # not from the error: its words may hold what is to stay secret
            raise self._said(error) from None

    def _opened(self) -> Any:
        with self._lock:
            if self._system is None:
                import fsspec

                config = {
                    "connect_timeout": _CONNECT_SECONDS,
                    "read_timeout": self._seconds * 2 / 3,
                    "retries": {"total_max_attempts": 1},
                    "max_pool_connections": 32,
                }
                system = fsspec.filesystem(
                    "s3", skip_instance_cache=True, use_listings_cache=False, config_kwargs=config
                )
                system.retries = _TRIES
                self._system = system
            return self._system

    def _said(self, error: Exception) -> Exception:
        cause = error.__cause__ or error
        response = getattr(cause, "response", None) or {}
        code = str(response.get("Error", {}).get("Code") or type(cause).__name__)
        if code in _ABSENT:
            return KeyError(code)
        if code in _REFUSING:
            return BlobsRefused(
                f"the blobs at {self.address} cannot be used ({_REFUSING[code]}); see the bucket, its region and the "
                f"credentials in the environment of this process"
            )
        if code in ("FSTimeoutError", "TimeoutError"):
            code = "no answer in time"
        return BlobsUnavailable(
            f"the blobs at {self.address} do not answer just now ({code}); what was acknowledged is safe, try again "
            f"later"
        )


def _next(page: dict[str, Any]) -> dict[str, Any]:
    names = {
        "NextContinuationToken": "ContinuationToken",
        "NextKeyMarker": "KeyMarker",
        "NextUploadIdMarker": "UploadIdMarker",
        "NextVersionIdMarker": "VersionIdMarker",
        "NextPartNumberMarker": "PartNumberMarker",
    }
    return {names[name]: value for name, value in page.items() if name in names and value not in (None, "")}
