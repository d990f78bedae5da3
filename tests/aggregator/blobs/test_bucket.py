"""What a bucket does that no directory does: falls silent, ends in the middle, belongs to another, keeps versions."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medforge.aggregator.blobs.address import BlobAddress, parse_blob_address
from medforge.aggregator.blobs.bucket import BlobBucket
from medforge.aggregator.blobs.cache import BlobCache
from medforge.aggregator.blobs.kept import BlobsUnavailable
from medforge.aggregator.blobs.s3 import S3
from medforge.aggregator.blobs.sending import PART_BYTES
from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.blobs.sweeping import sweep_blobs
from medforge.errors import InvalidInput
from medforge.files import sha256_bytes
from tests.s3 import S3Server

PARTS = 8
LARGE = os.urandom(PARTS * PART_BYTES - 1000)
DIGEST = sha256_bytes(LARGE)
PATIENT, GENEROUS = 60.0, 60.0


@pytest.fixture
def address(s3: S3Server) -> BlobAddress:
    return parse_blob_address(s3.new_place())


def opened(tmp_path: Path, address: BlobAddress, seconds: float = PATIENT) -> BlobStore:
    return BlobStore(tmp_path / "blobs", BlobBucket(S3(address, seconds), BlobCache(tmp_path / "cache", 1 << 30)))


def bring(store: BlobStore, data: bytes = LARGE) -> str:
    digest = sha256_bytes(data)
    store.append(digest, store.partial_size(digest), data[store.partial_size(digest) :])
    store.finish(digest, len(data))
    return digest


def begun(s3: S3Server, address: BlobAddress) -> dict[str, int]:
    """How many parts each unfinished upload has."""
    client = s3.client()
    found = client.list_multipart_uploads(Bucket=address.bucket, Prefix=address.prefix).get("Uploads", ())
    return {
        one["UploadId"]: len(
            client.list_parts(Bucket=address.bucket, Key=one["Key"], UploadId=one["UploadId"]).get("Parts", ())
        )
        for one in found
    }


def test_a_server_killed_in_mid_upload_is_gone_on_with(s3: S3Server, address: BlobAddress, tmp_path: Path) -> None:
    store = opened(tmp_path, address)
    bring(store)
    with ThreadPoolExecutor() as pool:
        sending = pool.submit(store.keep_together, [DIGEST])
        end = time.monotonic() + GENEROUS
        while not any(begun(s3, address).values()):
            assert time.monotonic() < end, "no part came"
            time.sleep(0.01)
        s3.kill()
        with pytest.raises(BlobsUnavailable, match="do not answer just now .*; what was acknowledged is safe"):
            sending.result()
    s3.start()
    client = s3.client()
    assert "Contents" not in client.list_objects_v2(Bucket=address.bucket, Prefix=address.prefix)
    came = sum(begun(s3, address).values())
    assert 0 < came < PARTS
    after = opened(tmp_path, address)
    assert bring(after) == DIGEST
    after.keep_together([DIGEST])
    sent = sum(f"{DIGEST}?partNumber=" in line for line in s3.recording.read_text().splitlines())
    assert sent <= PARTS + 1
    assert begun(s3, address) == {}
    assert opened(tmp_path / "other", address).read(DIGEST) == LARGE


def test_a_silent_server_is_said_in_time_and_comes_back(s3: S3Server, address: BlobAddress, tmp_path: Path) -> None:
    store = opened(tmp_path, address, 3.0)
    digest = bring(store, b"small")
    s3.freeze(True)
    try:
        for call in (lambda: store.keep_together([digest]), lambda: store.read(sha256_bytes(b"other"))):
            start = time.monotonic()
            with pytest.raises(BlobsUnavailable):
                call()
            assert time.monotonic() - start < GENEROUS
        assert "do not answer" in store.kept.problem()
    finally:
        s3.freeze(False)
    patient = opened(tmp_path, address)
    bring(patient, b"small")
    patient.keep_together([digest])
    assert patient.read(digest) == b"small"


def test_uploads_that_nobody_finished_are_dropped(s3: S3Server, address: BlobAddress, tmp_path: Path) -> None:
    store, client = opened(tmp_path, address), s3.client()
    client.create_multipart_upload(Bucket=address.bucket, Key=address.key(f"{DIGEST[:2]}/{DIGEST}"))
    sweep_blobs(store, 1.0, set())
    assert len(begun(s3, address)) == 1
    sweep_blobs(store, time.time() + 60, set())
    assert begun(s3, address) == {}


def test_earlier_versions_are_deleted_too(s3: S3Server, address: BlobAddress, tmp_path: Path) -> None:
    client, bucket = s3.client(), "with-versions"
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    store = opened(tmp_path, BlobAddress(bucket, "forge"))
    digest = store.put(b"data")
    client.put_object(Bucket=bucket, Key=f"forge/{digest[:2]}/{digest}", Body=b"data")
    store.remove(digest)
    left = client.list_object_versions(Bucket=bucket)
    assert not left.get("Versions")
    assert not left.get("DeleteMarkers")


def test_a_place_is_one_forges_alone(s3: S3Server, address: BlobAddress, tmp_path: Path) -> None:
    one = BlobBucket(S3(address, PATIENT), BlobCache(tmp_path, 0))
    assert one.owner() is None
    assert "has the blobs of no forge" in one.problem()
    one.bind("first")
    one.bind("first")
    assert one.problem() == ""
    with pytest.raises(InvalidInput, match="has the blobs of forge first, not of second; give each a prefix"):
        one.bind("second")


def test_a_wrong_bucket_or_no_credentials_is_one_sentence(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = BlobBucket(S3(BlobAddress("not-there", ""), PATIENT), BlobCache(tmp_path, 0))
    with pytest.raises(InvalidInput, match="s3://not-there cannot be used .there is no such bucket."):
        bucket.bind("forge")
    for name in s3.environment:
        if "KEY" in name:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(InvalidInput, match="no credentials are given"):
        BlobBucket(S3(BlobAddress("not-there", ""), PATIENT), BlobCache(tmp_path, 0)).bind("forge")


@pytest.mark.parametrize(
    "text",
    ["s3://key:secret@bucket/forge", "https://secret/forge", "s3://", "s3://UPPER", "s3://bucket/../secret", "secret"],
)
def test_what_is_no_address_is_not_shown(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no place for blobs; write s3://BUCKET") as found:
        parse_blob_address(text)
    assert "secret" not in str(found.value).replace("AWS_SECRET_ACCESS_KEY", "").lower()


def test_an_address_is_spelled_in_one_way() -> None:
    assert str(parse_blob_address("s3://bucket/a/forge/")) == "s3://bucket/a/forge"
    assert str(parse_blob_address("s3://bucket")) == "s3://bucket"
    assert parse_blob_address("s3://bucket").key("name") == "name"
