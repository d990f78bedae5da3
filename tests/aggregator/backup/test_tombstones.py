"""What was withdrawn or revoked after a backup stays out of what is restored from it, and nobody can forge that."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from medforge.aggregator.backup.age import Identity
from medforge.aggregator.backup.making import back_up
from medforge.aggregator.backup.restoring import restore
from medforge.aggregator.forge import maintenance
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.key_rotation import rotate_key
from medforge.aggregator.forge.tombstones import Tombstone, beside, read_tombstones
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.records import State
from medforge.base_module import BaseModule
from medforge.errors import CorruptFile, InvalidInput, MedForgeError
from medforge.proto.errors import AlreadyHere, NotAllowed
from medforge.proto.signing import new_key, public_bytes
from tests.aggregator.cli.conftest import sent
from tests.aggregator.forges import fold_all, open_main, settings_of
from tests.postgres import Cluster

KEY = Identity.new()
SETTINGS = settings_of("routed", "output", "gated")


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> Path:
    """A folder with a forge of three arrivals and one kit, and its backup. Read it only, or copy it."""
    place = tmp_path_factory.mktemp("tombstones")
    main = open_main(place / "forge", tiny_base, SETTINGS)
    fold_all(main, [sent(tiny_base, seed, f"task {seed}", "north") for seed in range(3)])
    invite(main.forge, "south", "127.0.0.1:1", place / "kit")
    back_up(main.forge, place / "file", KEY.recipient)
    main.forge.close()
    return place


@pytest.fixture
def forge(backed_up: Path, tmp_path: Path) -> Iterator[Forge]:
    """A copy of the forge, open; its tombstones are beside it."""
    shutil.copytree(backed_up / "forge", tmp_path / "forge")
    opened = Forge.open(tmp_path / "forge")
    yield opened
    opened.close()


def test_a_forge_of_which_nothing_was_withdrawn_has_none(forge: Forge, tmp_path: Path, backed_up: Path) -> None:
    assert forge.keep_tombstones()
    assert not beside(forge.directory).exists()
    assert restore(backed_up / "file", KEY, tmp_path / "new").buried is None


def test_what_was_withdrawn_and_revoked_stays_out(
    forge: Forge, backed_up: Path, tmp_path: Path, tiny_base: BaseModule
) -> None:
    late = sent(tiny_base, 9, "late", "north")
    number = forge.admit(late, tiny_base).number
    for one, erase in ((1, True), (2, False), (number, True)):
        forge.ledger.change(one, State.WITHDRAWN, "gone", "north", erase=erase, nonce=f"{one:032x}")
    invite(forge, "south", "127.0.0.1:1", tmp_path / "newer")
    forge.ledger.revoke("south", "left")
    assert forge.keep_tombstones()

    done = restore(backed_up / "file", KEY, tmp_path / "new", tombstones=beside(forge.directory))
    assert done.buried is not None
    assert (done.buried.withdrawn, done.buried.unknown, done.buried.revoked) == ((1, 2), (late.digest,), ("south",))
    main = open_main(tmp_path / "new", tiny_base, SETTINGS)
    main.settle()
    states = [(one.state, one.erased) for one in main.forge.ledger.arrivals()]
    assert states == [(State.WITHDRAWN, True), (State.WITHDRAWN, False), (State.FOLDED, False)]
    head = main.head()
    assert head is not None
    assert list(head.members) == [3]
    with pytest.raises(AlreadyHere, match="was erased on .*, before this forge was restored from a backup, and stays"):
        main.forge.admit(late, tiny_base)
    known = main.forge.ledger.contributor("south")
    assert known is not None
    assert known.revoked_at is not None
    main.forge.close()


def test_what_came_back_after_it_was_withdrawn_is_not_taken_out(forge: Forge, backed_up: Path, tmp_path: Path) -> None:
    forge.ledger.change(1, State.WITHDRAWN, "gone", "north", nonce="00" * 16)
    forge.keep_tombstones()
    forge.ledger.change(1, State.FOLDED, "", "maintainer")
    forge.keep_tombstones()
    done = restore(backed_up / "file", KEY, tmp_path / "new", tombstones=beside(forge.directory))
    assert done.buried is not None
    assert done.buried.withdrawn == ()


def test_lines_that_are_lost_are_written_again_and_a_torn_one_is_mended(forge: Forge) -> None:
    for number in (1, 2):
        maintenance.withdraw(forge, str(number), "gone", erase=True)
    forge.keep_tombstones()
    path = beside(forge.directory)
    whole = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    for left in (b"", whole[:-40], whole.splitlines(keepends=True)[1]):
        path.write_bytes(left)
        again = Forge.open(forge.directory)
        assert again.keep_tombstones()
        again.close()
        found = read_tombstones(path, forge.settings.forge)
        assert sorted(one.facts.said()["arrival"] for one in found) == [1, 2]


def test_what_cannot_be_written_stops_nobody_and_is_said(forge: Forge, caplog: pytest.LogCaptureFixture) -> None:
    beside(forge.directory).mkdir()
    maintenance.withdraw(forge, "1", "gone", erase=True)
    assert not forge.keep_tombstones()
    assert forge.tombstones.behind
    assert "tombstones cannot be written" in caplog.text
    beside(forge.directory).rmdir()
    assert forge.keep_tombstones()
    assert len(forge.tombstones.read()) == 1


def test_forged_or_foreign_tombstones_restore_nothing(forge: Forge, backed_up: Path, tmp_path: Path) -> None:
    maintenance.withdraw(forge, "1", "gone", erase=True)
    forge.keep_tombstones()
    (real,) = forge.tombstones.read()
    facts = real.facts
    forged = {
        "key": Tombstone.issue(new_key(), facts),
        "facts": real.model_copy(update={"facts": facts.model_copy(update={"about": facts.about.replace("1", "2")})}),
        "another": Tombstone.issue(forge.key, facts.model_copy(update={"forge": "another"})),
    }
    for name, one in forged.items():
        (tmp_path / name).write_text(one.model_dump_json() + "\n")
        with pytest.raises((NotAllowed, CorruptFile)):
            restore(backed_up / "file", KEY, tmp_path / "new", tombstones=tmp_path / name)
    (tmp_path / "text").write_text("nonsense\n")
    with pytest.raises(MedForgeError, match="line 1 of .* is no tombstone"):
        restore(backed_up / "file", KEY, tmp_path / "new", tombstones=tmp_path / "text")
    with pytest.raises(InvalidInput, match="there are no tombstones at"):
        restore(backed_up / "file", KEY, tmp_path / "new", tombstones=tmp_path / "absent")
    assert not (tmp_path / "new").exists()


def test_tombstones_after_a_change_of_the_key_are_the_forges_too(forge: Forge, backed_up: Path, tmp_path: Path) -> None:
    maintenance.withdraw(forge, "1", "gone", erase=True)
    rotate_key(forge.directory, forge.settings.forge, forge.ledger)
    later = Forge.open(forge.directory)
    maintenance.withdraw(later, "2", "gone", erase=True)
    later.keep_tombstones()
    key = public_bytes(later.key).hex()
    later.close()
    done = restore(backed_up / "file", KEY, tmp_path / "new", tombstones=beside(forge.directory))
    assert done.buried is not None
    assert (done.buried.withdrawn, done.buried.rotated) == ((1, 2), key)


def test_an_older_copy_of_the_ledger_is_not_served(forge: Forge, tiny_base: BaseModule, backed_up: Path) -> None:
    maintenance.withdraw(forge, "1", "gone", erase=True)
    forge.keep_tombstones()
    forge.close()
    shutil.rmtree(forge.directory)
    shutil.copytree(backed_up / "forge", forge.directory)
    with pytest.raises(CorruptFile, match="is an older copy: it lacks what was withdrawn or revoked on"):
        open_main(forge.directory, tiny_base, SETTINGS)


def test_a_ledger_goes_into_postgresql_and_comes_back(backed_up: Path, tmp_path: Path, postgres: Cluster) -> None:
    url = postgres.new_ledger()
    there = restore(backed_up / "file", KEY, tmp_path / "there", url)
    with pytest.raises(InvalidInput, match="is in use by forge .*; restore into an empty database"):
        restore(backed_up / "file", KEY, tmp_path / "twice", url)
    assert not (tmp_path / "there" / "ledger.sqlite").exists()
    forge = Forge.open(tmp_path / "there", url)
    assert forge.epochs == (there.epoch,)
    assert forge.ledger.unprotected() == []
    maintenance.withdraw(forge, "1", "gone", erase=True)
    back_up(forge, tmp_path / "again", KEY.recipient)
    arrivals, journal, commits = forge.ledger.arrivals(), forge.ledger.journal(), forge.ledger.commits()
    forge.close()
    restore(tmp_path / "again", KEY, tmp_path / "back")
    back = Forge.open(tmp_path / "back")
    assert (back.ledger.arrivals(), back.ledger.commits()) == (arrivals, commits)
    assert back.ledger.journal()[:-1] == journal
    back.close()
