"""Uploads that nobody went on with go after their time; everything that somebody needs stays."""

import os
import threading
import time
from pathlib import Path

import pytest

from medforge.aggregator.blobs.directory import BlobDirectory
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.forge.retention import may_read, referenced, sweep
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.server.charges import CHARGES_FILE, Charges
from medforge.aggregator.server.housekeeper import Housekeeper
from medforge.base_module import BaseModule
from medforge.files import sha256_bytes
from tests.aggregator.forges import branches, fold_all, open_main, settings_of

WEEK = 7 * 24 * 3600.0


@pytest.fixture
def main(tmp_path: Path, tiny_base: BaseModule) -> MainBranch:
    made = open_main(tmp_path / "forge", tiny_base, settings_of("fusion", "layer", "sequential"))
    fold_all(made, branches(tiny_base, 2))
    return made


def age(main: MainBranch, seconds: float) -> None:
    """Let every file of the forge be last touched so long ago."""
    then = time.time() - seconds
    for path in main.forge.blobs.directory.rglob("*"):
        os.utime(path, (then, then))


def leave_behind(main: MainBranch) -> tuple[str, str]:
    """Begin one upload, and complete another that is never submitted."""
    begun, whole = sha256_bytes(b"begun and"), sha256_bytes(b"whole")
    main.forge.blobs.append(begun, 0, b"begun")
    main.forge.blobs.append(whole, 0, b"whole")
    main.forge.blobs.finish(whole, 5)
    return begun, whole


def test_what_nobody_went_on_with_is_deleted_after_its_time(main: MainBranch) -> None:
    begun, whole = leave_behind(main)
    needed = set(referenced(main.forge))
    age(main, WEEK - 60)
    assert sweep(main.forge) == 0
    assert main.forge.blobs.partial_size(begun) == 5
    age(main, WEEK + 60)
    assert sweep(main.forge) == 2
    assert main.forge.blobs.partial_size(begun) == 0
    assert not main.forge.blobs.has(whole)
    assert all(main.forge.blobs.has(digest) for digest in needed)
    assert not [problem for check in check_forge(main.forge) for problem in check.problems]


def test_what_was_asked_for_or_stored_again_begins_anew(main: MainBranch) -> None:
    begun, whole = leave_behind(main)
    age(main, WEEK + 60)
    # FindMissing touches what is there, since its caller will not upload it again
    assert main.forge.blobs.touch(whole)
    main.forge.blobs.append(begun, 5, b" and")
    assert sweep(main.forge) == 0
    age(main, WEEK + 60)
    assert main.forge.blobs.put(b"whole") == whole
    assert sweep(main.forge) == 1
    assert main.forge.blobs.has(whole)


def test_nobody_waits_for_a_sweep_and_what_is_wanted_meanwhile_stays(
    main: MainBranch, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, whole = leave_behind(main)
    late, forge = branches(tiny_base, 3)[2], main.forge
    for data in late.blobs().values():
        digest = sha256_bytes(data)
        forge.blobs.append(digest, 0, data)
        forge.blobs.finish(digest, len(data))
        forge.blobs.keep_together([digest])
    forge.blobs.keep_together([whole])
    age(main, WEEK + 60)
    listed = BlobDirectory.untouched

    def meanwhile(kept: BlobDirectory, before: float) -> set[str]:
        found = listed(kept, before)
        assert whole in found
        # what Submit takes, and what FindMissing does
        forge.accept(late.manifest, tiny_base)
        assert forge.blobs.touch(whole)
        return found

    monkeypatch.setattr(BlobDirectory, "untouched", meanwhile)
    assert sweep(forge) == 1
    assert forge.blobs.partial_size(begun) == 0
    assert forge.blobs.has(whole)
    assert forge.load_branch(3).digest == late.digest


def test_the_housekeeper_sweeps_at_the_start_and_ends_when_asked(main: MainBranch) -> None:
    leave_behind(main)
    age(main, WEEK + 60)
    keeper = Housekeeper(
        main.forge, Charges(main.forge.directory / CHARGES_FILE, main.forge.policy.limits), seconds=0.01
    )
    keeper.start()
    end = time.monotonic() + 20
    while main.forge.blobs.partial_size(sha256_bytes(b"begun and")) and time.monotonic() < end:
        time.sleep(0.01)
    assert main.forge.blobs.partial_size(sha256_bytes(b"begun and")) == 0
    keeper.stop()
    keeper.join(20)
    assert keeper not in threading.enumerate()


def test_a_contributor_reads_what_is_merged_and_what_is_theirs(main: MainBranch) -> None:
    head = main.head()
    assert head is not None
    own, other = main.forge.manifest(1), main.forge.manifest(2)
    for digest in (*head.item_files.values(), own.digest, *(entry.digest for entry in own.files.values())):
        assert may_read(main.forge, own.contributor, digest)
    for digest in (other.digest, other.files["distilled.safetensors"].digest, "0" * 64):
        assert not may_read(main.forge, own.contributor, digest)
