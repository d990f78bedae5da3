"""A forge into one file and back: all of it or nothing, of one moment, and in a new epoch."""

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from medforge.aggregator.backup.age import Identity, SealedReader, SealedWriter
from medforge.aggregator.backup.making import back_up
from medforge.aggregator.backup.restoring import restore
from medforge.aggregator.backup.unpacking import check_backup
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.identity.kept import authority_of
from medforge.aggregator.ledger.journal import RESTORED
from medforge.aggregator.ledger.records import State
from medforge.base_module import BaseModule
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import open_to_others
from tests.aggregator.cli.conftest import sent
from tests.aggregator.forges import fold_all, open_main, settings_of

KEY = Identity.new()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> Path:
    """Two folded arrivals, one that was erased, and one contributor with a kit. Read it only."""
    place = tmp_path_factory.mktemp("original")
    main = open_main(place / "forge", tiny_base, settings_of("routed", "output", "gated"))
    fold_all(main, [sent(tiny_base, seed, f"task {seed}", "north") for seed in range(3)])
    invite(main.forge, "south", "127.0.0.1:1", place / "kit")
    main.forge.ledger.change(2, State.WITHDRAWN, "gone", "north", erase=True)
    main.settle()
    main.forge.close()
    return place / "forge"


@pytest.fixture(scope="module")
def file(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("backups") / "forge.age"
    forge = Forge.open(original)
    back_up(forge, out, KEY.recipient)
    forge.close()
    return out


def contents_of(directory: Path) -> dict[str, bytes]:
    """The files of a forge that are the same in its copy."""
    kept = [path for name in ("blobs", "keys", "policy.json", "forge.json") for path in (directory / name,)]
    found = [path for one in kept for path in ([one] if one.is_file() else one.rglob("*"))]
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in found if path.is_file()}


def test_a_restored_forge_is_the_one_that_was_backed_up(original: Path, file: Path, tmp_path: Path) -> None:
    done = restore(file, KEY, tmp_path / "forge")
    assert contents_of(tmp_path / "forge") == contents_of(original)
    assert list(open_to_others(tmp_path)) == [tmp_path] or not list(open_to_others(tmp_path / "forge"))
    before, after = Forge.open(original), Forge.open(tmp_path / "forge")
    assert after.ledger.arrivals() == before.ledger.arrivals()
    assert after.ledger.commits() == before.ledger.commits()
    assert after.ledger.contributors() == before.ledger.contributors()
    journal = after.ledger.journal()
    assert journal[:-1] == before.ledger.journal()
    assert journal[-1].what == RESTORED
    assert [problem for check in check_forge(after) for problem in check.problems] == []
    assert authority_of(after).fingerprint == authority_of(before).fingerprint
    assert (done.epoch.facts.arrivals, done.epoch.facts.commits) == before.ledger.counts()
    assert after.epochs == (done.epoch,)
    done.epoch.verify()
    for forge in (before, after):
        forge.close()


def test_a_restored_forge_folds_on_and_its_new_receipts_name_the_epoch(
    original: Path, file: Path, tmp_path: Path, tiny_base: BaseModule
) -> None:
    done = restore(file, KEY, tmp_path / "forge")
    main = open_main(tmp_path / "forge", tiny_base, settings_of("routed", "output", "gated"))
    head = main.head()
    fold_all(main, [sent(tiny_base, 7, "task 7", "south")])
    assert head is not None
    assert main.log()[-1].parent == head.digest
    old, new = (main.forge.receipt(arrival) for arrival in main.forge.ledger.arrivals()[-2:])
    for receipt in (old, new):
        receipt.verify()
    assert (old.epoch, new.epoch) == ("", done.epoch.digest)
    before = Forge.open(original)
    assert old == before.receipt(before.ledger.arrivals()[-1])
    before.close()
    main.forge.close()

    # and once more, so that epochs follow one another
    forge = Forge.open(tmp_path / "forge")
    back_up(forge, tmp_path / "second.age", KEY.recipient)
    forge.close()
    again = restore(tmp_path / "second.age", KEY, tmp_path / "third")
    assert (again.epoch.facts.number, again.epoch.facts.before) == (3, done.epoch.digest)
    third = Forge.open(tmp_path / "third")
    assert [problem for check in check_forge(third, quick=True) for problem in check.problems] == []
    assert third.receipt(third.ledger.arrivals()[-1]) == new
    third.close()


def test_what_is_of_one_place_is_not_restored(original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "one")
    forge = Forge.open(tmp_path / "one", alone=True)
    back_up(forge, tmp_path / "file", KEY.recipient)
    forge.close()
    restore(tmp_path / "file", KEY, tmp_path / "two")
    served = Forge.open(tmp_path / "two", alone=True)
    assert served.ledger.fact("lease") != forge.ledger.token
    served.close()


def test_nothing_that_is_there_is_replaced(original: Path, file: Path, tmp_path: Path) -> None:
    forge = Forge.open(original)
    with pytest.raises(InvalidInput, match="is there already, and no backup is ever replaced"):
        back_up(forge, file, KEY.recipient)
    forge.close()
    with pytest.raises(InvalidInput, match="is there and not empty, and no forge is ever replaced"):
        restore(file, KEY, original)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size in bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_cannot_be_written_leaves_nothing(original: Path, file: Path, tmp_path: Path) -> None:
    forge = Forge.open(original)
    whole = file.stat().st_size
    for size in (0, whole // 3, whole - 12_000):
        with files_of_at_most(size), pytest.raises(InvalidInput, match="File too large|disk"):
            back_up(forge, tmp_path / "file", KEY.recipient)
    with pytest.raises(InvalidInput, match="No such file or directory"):
        back_up(forge, tmp_path / "absent" / "file", KEY.recipient)
    assert list(tmp_path.iterdir()) == []
    assert [path for path in forge.cache.iterdir() if path.name.startswith("backup")] == []
    forge.close()
    for size in (0, 1_000, 10_000):
        with files_of_at_most(size), pytest.raises(InvalidInput):
            restore(file, KEY, tmp_path / "forge")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_damaged_backup_restores_nothing(file: Path, tmp_path: Path, place: float) -> None:
    data = bytearray(file.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    (tmp_path / "damaged").write_bytes(data)
    (tmp_path / "short").write_bytes(file.read_bytes()[: int(place * (len(data) - 1))])
    for name in ("damaged", "short"):
        with pytest.raises(InvalidInput):
            restore(tmp_path / name, KEY, tmp_path / "forge")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "short"]


def test_another_format_is_named(file: Path, tmp_path: Path) -> None:
    with file.open("rb") as opened:
        plain = SealedReader(opened, KEY).read()
    assert plain.count(b'"format":1,"made_at"') == 1
    with (tmp_path / "newer").open("wb") as out:
        writer = SealedWriter(out, KEY.recipient)
        writer.write(plain.replace(b'"format":1,"made_at"', b'"format":9,"made_at"'))
        writer.close()
    with pytest.raises(InvalidInput, match="has format 9, made by medforge .*; restore it with that version"):
        restore(tmp_path / "newer", KEY, tmp_path / "forge")


def test_a_forge_with_an_altered_or_lost_blob_is_not_backed_up(original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "forge")
    forge = Forge.open(tmp_path / "forge")
    path = max((forge.blobs.path(digest) for digest in forge.blobs.present()), key=lambda one: one.stat().st_size)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"?")
    with pytest.raises(CorruptFile, match="has been altered where it is kept"):
        back_up(forge, tmp_path / "file", KEY.recipient)
    path.unlink()
    with pytest.raises(CorruptFile, match="is needed and not there.*run `medforge fsck`"):
        back_up(forge, tmp_path / "file", KEY.recipient)
    forge.close()
    assert [one.name for one in tmp_path.iterdir()] == ["forge"]


def test_a_file_is_checked_without_restoring_it(file: Path, tmp_path: Path) -> None:
    found = check_backup(file, KEY, tmp_path / "check")
    assert (found.contents.arrivals, found.contents.blobs) == (3, len(found.blobs))
    assert file.stat().st_mode & 0o777 == 0o600
