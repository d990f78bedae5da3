import time
from collections.abc import Callable
from pathlib import Path

import pytest

from medforge.aggregator.blobs.address import parse_blob_address
from medforge.aggregator.blobs.bucket import BlobBucket
from medforge.aggregator.blobs.cache import BlobCache
from medforge.aggregator.blobs.s3 import S3
from medforge.aggregator.server.blob_watch import BlobWatch
from tests.s3 import s3_server

GENEROUS = 90.0


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + GENEROUS
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def test_a_silent_s3_is_said_while_it_is_silent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with s3_server() as s3:
        bucket = BlobBucket(S3(parse_blob_address(s3.new_place()), 5.0), BlobCache(tmp_path, 0))
        wait_until(lambda: _bound(bucket))
        watch = BlobWatch(bucket, every=0.1, silent=60.0)
        watch.start()
        s3.freeze(True)
        try:
            wait_until(lambda: "do not answer just now" in watch.problem)
        finally:
            s3.freeze(False)
        wait_until(lambda: not watch.problem)
        s3.kill()
        wait_until(lambda: "do not answer just now" in watch.problem)
        s3.start()
        wait_until(lambda: not watch.problem)
        watch.stop()
        watch.join(GENEROUS)
    said = [record.getMessage() for record in caplog.records if "blob" in record.getMessage()]
    assert any("do not answer just now" in line for line in said)
    assert not any(s3.environment["AWS_SECRET_ACCESS_KEY"] in line for line in said)


def _bound(bucket: BlobBucket) -> bool:
    bucket.bind("forge")
    return bucket.problem() == ""
