"""A ledger as it was at one moment, copied into another database, whatever the two databases are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, insert, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.backup.newest import BACKUP_FACT
from medforge.aggregator.forge.tombstones import PLACE_FACT
from medforge.aggregator.ledger.address import address_of_file, without_secrets
from medforge.aggregator.ledger.database import LEASE_FACT, Database, LedgerUnavailable
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.rows import FactRow, Table
from medforge.aggregator.ledger.schema import SCHEMA_FACT, SOFTWARE_FACT
from medforge.errors import InvalidInput

_OF_ITS_PLACE = (LEASE_FACT, PLACE_FACT, BACKUP_FACT)
_OF_ITS_TABLES = (SCHEMA_FACT, SOFTWARE_FACT)
_ROWS = 100


def copy_ledger(source: Database, place: Path) -> Ledger:
    """Copy a ledger, as it is at one moment while others write, into a new SQLite file; return that, opened."""
    place.unlink(missing_ok=True)
    copy = Ledger(address_of_file(place))
    fill(source, copy)
    return copy


def fill(source: Database, target: Database) -> None:
    """Copy every table of a ledger into one that was just made, in one transaction there.

    The target keeps its own schema, which may be a later one. What is of one place alone is left out: who serves it,
    where its tombstones are, when it was backed up. Raises InvalidInput where one of the two fails, LedgerUnavailable
    where one of them is on a server.
    """
    try:
        _fill(source, target)
    except SQLAlchemyError as error:
        cause = without_secrets(without_secrets(str(getattr(error, "orig", None) or error), source.url), target.url)
        in_files = {source.engine.dialect.name, target.engine.dialect.name} == {"sqlite"}
        raise (InvalidInput if in_files else LedgerUnavailable)(
            f"the ledger cannot be copied ({cause.splitlines()[0]}); see whether its database answers and the disk has "
            f"room"
        ) from None


def _fill(source: Database, target: Database) -> None:
    with _at_one_moment(source) as reading, _at_once(target) as writing:
        there = set(inspect(reading).get_table_names())
        for table in Table.metadata.sorted_tables:
            if table.name not in there:
                continue
            # an earlier schema's development had some of the next one's
            table.create(writing, checkfirst=True)
            query = select(table)
            if table.name == FactRow.__tablename__:
                writing.execute(table.delete().where(table.c.name.not_in(_OF_ITS_TABLES)))
                query = query.where(table.c.name.not_in((*_OF_ITS_PLACE, *_OF_ITS_TABLES)))
            rows = reading.execution_options(stream_results=True).execute(query).mappings()
            while page := rows.fetchmany(_ROWS):
                writing.execute(insert(table), [dict(row) for row in page])


@contextmanager
def _at_one_moment(source: Database) -> Iterator[Connection]:
    """Open a connection that sees one state of a database until it is closed."""
    with source.engine.connect() as connection:
        if source.engine.dialect.name == "sqlite":
            # the ledger's connections begin no transaction of their own
            connection.execute(text("BEGIN"))
            yield connection
            connection.execute(text("ROLLBACK"))
        else:
            yield connection.execution_options(isolation_level="REPEATABLE READ")


@contextmanager
def _at_once(target: Database) -> Iterator[Connection]:
    """Open a transaction; it is as if it had never begun where that fails."""
    with target.engine.begin() as connection:
        if target.engine.dialect.name != "sqlite":
            yield connection
            return
        connection.execute(text("BEGIN IMMEDIATE"))
        yield connection
        connection.execute(text("COMMIT"))
