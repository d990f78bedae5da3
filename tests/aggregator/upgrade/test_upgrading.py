"""A forge of 0.1.0, in SQLite and in PostgreSQL: checked, kept as it was, upgraded; or nothing is changed."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from medforge.aggregator.backup.age import Identity
from medforge.aggregator.backup.making import back_up
from medforge.aggregator.backup.restoring import restore
from medforge.aggregator.backup.snapshot import fill
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.forge.opening import lock_directory
from medforge.aggregator.forge.settings import read_settings, write_settings
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.migrating import migrate
from medforge.aggregator.ledger.records import State
from medforge.aggregator.upgrade.keeping import KEPT
from medforge.aggregator.upgrade.upgrading import check, upgrade
from medforge.errors import CorruptFile, InvalidInput, MedForgeError, OtherVersion
from medforge.files import sha256_file
from tests.aggregator.altering import alter
from tests.aggregator.backup.test_backup import files_of_at_most
from tests.postgres import Cluster, cluster
from tests.programs import Program
from tests.recorded.items import HERE

RECORDED = ("forge-0.1.0", "served-0.1.0/forge")
Old = tuple[Path, str | None]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture(params=RECORDED)
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    place = tmp_path / "forge"
    shutil.copytree(HERE / request.param, place)
    for path in (place, *place.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return place


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, directory: Path) -> Old:
    """A forge of 0.1.0, with the address of its ledger where that is elsewhere."""
    return (directory, None) if request.param == "sqlite" else moved(directory, request.getfixturevalue("postgres"))


def moved(directory: Path, postgres: Cluster) -> Old:
    url = postgres.new_database()
    engine = create_engine(url)
    migrate(engine, "2")
    with engine.begin() as connection:
        # as 0.1.0 left it there
        connection.execute(text("DROP TABLE alembic_version"))
    engine.dispose()
    inside, there = Ledger(f"sqlite:///{directory / 'ledger.sqlite'}", make=False), Ledger(url, make=False)
    fill(inside, there)
    inside.close()
    there.close()
    for path in directory.glob("ledger.sqlite*"):
        path.unlink()
    write_settings(directory, read_settings(directory).model_copy(update={"ledger": "external"}))
    return directory, url


def digests(directory: Path) -> dict[str, str]:
    """The digests of a forge's files; where SQLite keeps what is written is its own affair."""
    return {
        str(path.relative_to(directory)): sha256_file(path)
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm", "lock", ".lease"))
    }


def said(old: Old) -> tuple[object, ...]:
    """Everything that a ledger says."""
    forge = Forge.open(*old)
    ledger = forge.ledger
    found = (ledger.schema, ledger.arrivals(), ledger.commits(), ledger.journal(), ledger.contributors(), ledger.bound)
    forge.close()
    return found


def problems(old: Old) -> list[str]:
    forge = Forge.open(*old)
    found = [problem for one in check_forge(forge) for problem in one.problems]
    forge.close()
    return found


def test_what_is_in_the_way_of_what_is_kept_is_named(directory: Path) -> None:
    (directory / KEPT).touch()
    before = digests(directory)
    with pytest.raises(InvalidInput, match=rf"File exists.*nothing was changed, .*that {KEPT} in it is a directory"):
        upgrade(directory)
    assert digests(directory) == before


def test_an_old_forge_is_kept_as_it_was_and_upgraded(old: Old) -> None:
    directory, _ = old
    before, (_, arrivals, commits, journal, people, bound) = digests(directory), said(old)
    done = upgrade(*old)
    assert done.due
    assert done.kept is not None
    now = said(old)
    assert now[:3] == ("3", arrivals, commits)
    assert now[3][:-1] == journal  # type: ignore[index]
    assert now[4:] == (people, bound)
    assert problems(old) == []
    # what was kept is a whole forge of the earlier version
    assert said((done.kept, None)) == ("2", arrivals, commits, journal, people, bound)
    kept = digests(done.kept)
    assert {name for name in before if name.startswith(("keys/", "blobs/"))} <= kept.keys()
    assert all(
        kept[name] == digest for name, digest in before.items() if name.startswith(("keys/", "blobs/", "policy"))
    )
    assert json.loads((done.kept / "forge.json").read_text())["ledger"] == "internal"
    assert (done.kept.stat().st_mode & 0o777, done.kept.parent.stat().st_mode & 0o777) == (0o700, 0o700)
    assert not upgrade(*old).due
    assert list(done.kept.parent.iterdir()) == [done.kept]


def test_checking_and_reading_change_nothing(old: Old) -> None:
    before = digests(old[0]), said(old)
    assert check(*old).due
    assert problems(old) in ([], [one for one in problems(old) if "triggers" in one])
    forge = Forge.open(*old)
    with pytest.raises(OtherVersion, match="run `medforge upgrade --forge DIR`"):
        forge.ledger.change(1, State.REJECTED, "no", "maintainer")
    forge.close()
    with pytest.raises(OtherVersion):
        Forge.open(*old, alone=True)
    assert (digests(old[0]), said(old)) == before


def test_a_backup_of_an_old_forge_is_restored_as_of_today(old: Old, tmp_path: Path) -> None:
    before, key = said(old), Identity.new()
    forge = Forge.open(*old)
    back_up(forge, tmp_path / "file", key.recipient)
    forge.close()
    assert said(old) == before
    restore(tmp_path / "file", key, tmp_path / "again")
    assert said((tmp_path / "again", None))[:3] == ("3", *before[1:3])
    assert problems((tmp_path / "again", None)) == []


def test_of_two_at_once_one_is_refused(old: Old) -> None:
    before = said(old)
    lock = lock_directory(old[0])
    with pytest.raises(InvalidInput, match="another process serves the forge"):
        upgrade(*old)
    lock.release()
    assert said(old) == before


def test_a_copied_directory_does_not_upgrade_a_ledger_that_is_served(
    directory: Path, postgres: Cluster, tmp_path: Path
) -> None:
    one = moved(directory, postgres)
    upgrade(*one)
    held = Forge.open(*one, alone=True)
    shutil.copytree(directory, tmp_path / "copy", ignore=shutil.ignore_patterns("lock"))
    alter(held.ledger, "UPDATE facts SET value = '2' WHERE name = 'schema'")
    with pytest.raises(InvalidInput, match="another process serves the ledger"):
        upgrade(tmp_path / "copy", one[1])
    held.close()


@pytest.mark.parametrize("point", ["before the upgrade", "before the upgrade is durable", "after the upgrade"])
@pytest.mark.parametrize("action", ["kill", "full"])
def test_what_ends_an_upgrade_leaves_it_old_or_new(old: Old, point: str, action: str, tmp_path: Path) -> None:
    directory, url = old
    before = said(old)
    arguments = ["upgrade", "--forge", directory, *([] if url is None else ["--ledger", url])]
    program = Program(arguments, tmp_path / "log", f"{point}={action}")
    code = program.wait()
    assert program.faults() == [(action, point)]
    assert code == (-signal.SIGKILL if action == "kill" else 2), program.said()
    assert "Traceback" not in program.said()
    if point == "after the upgrade":
        assert said(old)[1:3] == before[1:3]
    else:
        assert said(old) == before
        assert (directory / "before-upgrade").exists() is (action == "kill")
    upgrade(directory, url)
    assert said(old)[0] == "3"
    assert problems(old) == []


def test_a_full_disk_changes_nothing(directory: Path) -> None:
    before = digests(directory)
    for size in (0, 5_000, 50_000):
        with files_of_at_most(size), pytest.raises(MedForgeError, match="nothing was changed|disk|lock"):
            upgrade(directory)
        assert digests(directory) == before
        assert not list(directory.glob("before-upgrade/*"))
    assert upgrade(directory).due


def _lose_a_key(directory: Path) -> None:
    (directory / "keys" / "forge.key").write_bytes(b"nonsense")


def _break_the_journal(directory: Path) -> None:
    ledger = Ledger(f"sqlite:///{directory / 'ledger.sqlite'}", make=False)
    alter(ledger, "UPDATE journal SET about = '{}' WHERE number = 1", protected=False)
    ledger.close()


def _break_the_policy(directory: Path) -> None:
    (directory / "policy.json").write_bytes(b'{"limits": 1}')


@pytest.mark.parametrize("damage", [_lose_a_key, _break_the_journal, _break_the_policy])
def test_a_damaged_forge_is_not_upgraded(directory: Path, damage: Callable[[Path], None]) -> None:
    damage(directory)
    before = digests(directory)
    with pytest.raises(CorruptFile):
        upgrade(directory)
    assert digests(directory) == before


@pytest.mark.parametrize("schema", ["1", "4", "x" * 100, ""])
def test_a_ledger_of_a_version_that_is_not_known_is_named(old: Old, schema: str, tmp_path: Path) -> None:
    directory, url = old
    ledger = Ledger(url or f"sqlite:///{directory / 'ledger.sqlite'}", make=False)
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE facts SET value = :schema WHERE name = 'schema'"), {"schema": schema})
    ledger.close()
    before = digests(directory)
    for attempt in (lambda: upgrade(*old), lambda: check(*old), lambda: Forge.open(*old)):
        with pytest.raises(
            InvalidInput, match=r"which reads schemas 2 and 3; use the version|is empty; give the forge's"
        ):
            attempt()
    assert digests(directory) == before


VALUES = st.one_of(
    st.integers(2, 10**30), st.none(), st.booleans(), st.text(max_size=5), st.lists(st.integers(), max_size=2)
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file=st.sampled_from(["forge.json", "policy.json"]),
    changes=st.dictionaries(
        st.one_of(st.just("format"), st.text(min_size=1, max_size=8)), VALUES, min_size=1, max_size=3
    ),
)
def test_settings_of_unknown_versions_get_a_sentence(file: str, changes: dict[str, object], tmp_path: Path) -> None:
    directory = tmp_path / "forge"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(HERE / RECORDED[1], directory)
    path = directory / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    before = digests(directory)
    # 1 is what the format is
    if changes in ({"format": True},):
        return
    with pytest.raises(InvalidInput, match=r"(forge|policy)\.json .*; .+") as found:
        upgrade(directory)
    newer = changes.get("format")
    if isinstance(newer, int) and not isinstance(newer, bool):
        assert isinstance(found.value, OtherVersion)
        assert "which reads format 1; use the version that wrote it" in str(found.value)
    elif "format" not in changes:
        assert isinstance(found.value, OtherVersion | CorruptFile)
        assert "0.2.0 does not know" in str(found.value) or isinstance(found.value, CorruptFile)
    assert digests(directory) == before
