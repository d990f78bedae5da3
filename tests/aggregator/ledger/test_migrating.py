"""A ledger that is made and one that was upgraded are the same, on every database."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text

from medforge.aggregator.backup.snapshot import fill
from medforge.aggregator.ledger import append_only
from medforge.aggregator.ledger.journal import entry_digest
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.migrating import migrate
from medforge.aggregator.ledger.rows import OriginRow, Table, TaskRow
from medforge.aggregator.ledger.schema import RELEASED, SCHEMA
from medforge.aggregator.ledger.task_table import TaskTable
from medforge.errors import CorruptFile, InvalidInput, OtherVersion
from tests.postgres import Cluster, cluster
from tests.recorded.items import HERE

OLD = [version for version in RELEASED if version != SCHEMA]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    made: Cluster = request.getfixturevalue("postgres")
    return made.new_database()


def shape(engine: Engine) -> dict[str, Any]:
    """What a database says of its tables, without what has no order."""
    seen = inspect(engine)
    return {
        name: {
            "columns": {one["name"]: (str(one["type"]), one["nullable"]) for one in seen.get_columns(name)},
            "key": seen.get_pk_constraint(name)["constrained_columns"],
            "foreign": sorted(
                (one["constrained_columns"], one["referred_table"]) for one in seen.get_foreign_keys(name)
            ),
            "unique": sorted(one["column_names"] for one in seen.get_unique_constraints(name)),
            "indexes": sorted((one["name"] or "", one["column_names"]) for one in seen.get_indexes(name)),
        }
        for name in Table.metadata.tables
    }


def _made_as(url: str, schema: str) -> Engine:
    engine = create_engine(url)
    migrate(engine, schema)
    return engine


def test_the_steps_lead_to_the_tables_that_the_code_knows(empty_url: str) -> None:
    ledger = Ledger(empty_url)
    engine = create_engine(empty_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    engine.dispose()
    assert append_only.missing(ledger.engine) == []
    assert (ledger.schema, ledger.outdated) == (SCHEMA, False)
    ledger.close()


@pytest.mark.parametrize("schema", OLD)
def test_an_upgraded_ledger_is_as_a_fresh_one(empty_url: str, schema: str, tmp_path: Path, postgres: Cluster) -> None:
    sqlite = empty_url.startswith("sqlite")
    fresh = Ledger(f"sqlite:///{tmp_path / 'fresh.sqlite'}" if sqlite else postgres.new_database())
    _made_as(empty_url, schema).dispose()
    ledger = Ledger(empty_url, make=False)
    assert ledger.outdated
    ledger.upgrade({})
    assert shape(ledger.engine) == shape(fresh.engine)
    assert append_only.missing(ledger.engine) == []
    ledger.close()
    fresh.close()


@pytest.mark.parametrize("there", [[TaskRow], [TaskRow, OriginRow]])
def test_a_ledger_of_the_development_in_between_is_upgraded(empty_url: str, there: list[type[Table]]) -> None:
    engine = _made_as(empty_url, "2")
    Table.metadata.create_all(engine, tables=[Table.metadata.tables[one.__tablename__] for one in there])
    # such a one has no table of Alembic's
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    engine.dispose()
    ledger = Ledger(empty_url, make=False)
    ledger.upgrade({})
    with ledger.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    assert append_only.missing(ledger.engine) == []
    ledger.close()


def test_the_ledger_of_0_1_0_keeps_what_it_says(empty_url: str, tmp_path: Path) -> None:
    shutil.copy(HERE / "forge-0.1.0" / "ledger.sqlite", tmp_path / "old.sqlite")
    old = Ledger(f"sqlite:///{tmp_path / 'old.sqlite'}", make=False)
    _made_as(empty_url, old.schema).dispose()
    ledger = Ledger(empty_url, make=False)
    fill(old, ledger)
    ledger.upgrade({"kept": "a place"})
    assert ledger.bound == old.bound
    assert ledger.arrivals() == old.arrivals()
    assert ledger.commits() == old.commits()
    *before, last = ledger.journal()
    assert before == old.journal()
    assert last.what == "upgraded"
    assert last.digest == entry_digest(before[-1].digest, last.number, last.at, last.actor, last.what, last.about)
    assert '"was":"2"' in last.about
    old.close()
    ledger.close()


@pytest.mark.parametrize("schema", OLD)
def test_an_older_ledger_is_read_and_not_written(empty_url: str, schema: str) -> None:
    _made_as(empty_url, schema).dispose()
    ledger = Ledger(empty_url, make=False)
    before = shape_of_all(ledger.engine)
    assert TaskTable(ledger).history() == []
    with pytest.raises(OtherVersion, match=f"has schema {schema}, of medforge .* run `medforge upgrade --forge DIR`"):
        ledger.enter("maintainer", "looked", {})
    assert ledger.journal() == []
    assert shape_of_all(ledger.engine) == before
    ledger.close()


def shape_of_all(engine: Engine) -> list[str]:
    return sorted(inspect(engine).get_table_names())


def test_who_has_it_open_while_another_version_upgrades_it_writes_no_more(empty_url: str) -> None:
    ledger = Ledger(empty_url)
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE facts SET value = '4' WHERE name = 'schema'"))
    with pytest.raises(OtherVersion, match="has schema 4 since another version of medforge upgraded it"):
        ledger.enter("maintainer", "looked", {})
    ledger.close()


def test_a_step_that_fails_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _made_as(empty_url, "2").dispose()
    ledger = Ledger(empty_url, make=False)
    before = shape_of_all(ledger.engine)
    # the last step of all
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE origins (arrival INTEGER PRIMARY KEY)"))
    engine.dispose()
    with pytest.raises(InvalidInput, match="cannot be upgraded .*; nothing was changed"):
        ledger.upgrade({})
    assert ledger.outdated
    assert shape_of_all(ledger.engine) == sorted([*before, "origins"])
    assert ledger.fact("schema") == "2"
    ledger.close()


def test_the_database_of_another_application_is_left_as_it_is(empty_url: str) -> None:
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('3f2a9c')"))
    with pytest.raises(InvalidInput, match="another application's .its table alembic_version is at 3f2a9c.; give"):
        Ledger(empty_url)
    assert inspect(engine).get_table_names() == ["alembic_version"]


def test_a_file_of_another_application_is_not_written(tmp_path: Path) -> None:
    place = tmp_path / "places.sqlite"
    engine = create_engine(f"sqlite:///{place}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE moz_places (id INTEGER PRIMARY KEY)"))
    engine.dispose()
    before = place.read_bytes()
    for make in (True, False):
        with pytest.raises((InvalidInput, CorruptFile), match="it has a table moz_places.; give|forge nobody"):
            Ledger(f"sqlite:///{place}", make=make)
    assert place.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [place.name]
