"""Where a forge's finished blobs are: in its own directory, or in a bucket that is its own for good."""

from __future__ import annotations

from pathlib import Path

from medforge.aggregator.blobs.address import parse_blob_address
from medforge.aggregator.blobs.bucket import BlobBucket
from medforge.aggregator.blobs.cache import BlobCache
from medforge.aggregator.blobs.s3 import S3
from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.forge.policy import Policy
from medforge.aggregator.forge.settings import ForgeSettings
from medforge.errors import InvalidInput

_BLOBS = "blobs"


def blobs_of(directory: Path, settings: ForgeSettings, policy: Policy) -> BlobStore:
    """Return a forge's blobs; what lies elsewhere is not asked for anything yet."""
    kept = None if settings.blobs is None else bucket_at(settings.blobs, directory, policy)
    return BlobStore(directory / _BLOBS, kept)


def bucket_at(address: str, directory: Path, policy: Policy) -> BlobBucket:
    """Return the bucket at an address, with copies in a forge's directory; raises InvalidInput for no such address."""
    cache = BlobCache(directory / "cache" / _BLOBS, policy.limits.blob_cache)
    return BlobBucket(S3(parse_blob_address(address)), cache)


def placed(directory: Path, settings: ForgeSettings, given: str | None, policy: Policy) -> ForgeSettings:
    """Return a forge's settings with its blobs where they are said to be, once what is there says that it is its.

    Nothing is moved: what was copied to another place brought the mark of its forge along. Raises InvalidInput where
    the place is another forge's, or nobody's, or cannot be used, and BlobsUnavailable where it does not answer.
    """
    address = settings.blobs if given is None else str(parse_blob_address(given))
    if address is None:
        return settings
    if settings.blobs is None:
        raise InvalidInput(
            f"the forge {directory} keeps its blobs in its own directory; leave --blobs out and MEDFORGE_BLOBS unset, "
            f"or move it with `medforge backup` and `medforge restore --blobs {address}`"
        )
    bucket = bucket_at(address, directory, policy)
    if (owner := bucket.owner_or_refused()) is None:
        raise InvalidInput(
            f"there are no blobs of a forge at {address}, and {directory} keeps its own at {settings.blobs}; copy all "
            f"of them there first, or give the address where they are"
        )
    bucket.check_owner(owner, settings.forge)
    return settings.model_copy(update={"blobs": address})
