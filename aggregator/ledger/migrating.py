"""A ledger's tables, made or brought to another schema in one transaction; Alembic takes the steps."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, delete, insert, inspect, select, text
from sqlalchemy.orm import Session

from medforge import __version__
from medforge.aggregator.ledger.journal import FORGE, UPGRADED, enter
from medforge.aggregator.ledger.rows import FactRow, Table
from medforge.aggregator.ledger.schema import RELEASED, SCHEMA, SCHEMA_FACT, SOFTWARE_FACT
from medforge.errors import InvalidInput
from medforge.faults import reached

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

_PLACE = Path(__file__).parent / "migrations"
_ALEMBIC = "alembic_version"
_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtext('medforge schema ' || current_schema()))"


def migrate(engine: Engine, to: str = SCHEMA, about: dict[str, Any] | None = None) -> None:
    """Make a ledger's tables, or bring those that are there to another schema; what has that schema stays as it is.

    Whatever happens, the ledger is as before or as wanted. Where it was there, the journal says so, with what else is
    to be said `about` it. Raises SQLAlchemyError where the database fails.
    """
    with engine.begin() as connection:
        # of processes that come at once the others find it done
        if engine.dialect.name == "sqlite":
            connection.execute(text("BEGIN IMMEDIATE"))
        elif engine.dialect.name == "postgresql":
            connection.execute(text(_TAKE_TURNS))
        before = _schema_of(connection)
        if before == to:
            return
        _take_steps(connection, before, to)
        _say(connection, SCHEMA_FACT, to)
        # 0.1.0 did not say it
        if to == SCHEMA:
            _say(connection, SOFTWARE_FACT, __version__)
        if before is not None:
            with Session(connection) as session:
                said = {"schema": to, "was": before, "software": __version__}
                enter(session, FORGE, UPGRADED, said | (about or {}))
                session.flush()
            reached("before the upgrade is durable")


def _take_steps(connection: Connection, before: str | None, to: str) -> None:
    # it says at INFO what it does
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # 0.2 s, which only who makes or upgrades a ledger waits for
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    steps: ScriptDirectory = ScriptDirectory(str(_PLACE), version_locations=[str(_PLACE)])

    def wanted(heads: Any, _context: MigrationContext) -> Any:
        return steps._upgrade_revs(to, heads)

    context = MigrationContext.configure(connection, opts={"fn": wanted, "script": steps})
    if before is not None:
        # the fact is what counts, also of ledgers that were made before Alembic kept a table of its own
        context.stamp(steps, before)
    elif others := [
        *(f"its table {_ALEMBIC} is at {head}" for head in context.get_current_heads() if head not in RELEASED),
        *(f"it has a table {name}" for name in _strange_tables(connection)),
    ]:
        raise InvalidInput(
            f"the database given as a ledger is another application's ({others[0]}); "
            "give an empty one, or with PostgreSQL an account with a schema of its own"
        )
    with Operations.context(context):
        context.run_migrations()


def _strange_tables(connection: Connection) -> list[str]:
    """Name the tables of an SQLite file that no ledger has; a server's database may be shared."""
    if connection.dialect.name != "sqlite":
        return []
    return [name for name in inspect(connection).get_table_names() if name not in {*Table.metadata.tables, _ALEMBIC}]


def _schema_of(connection: Connection) -> str | None:
    """Return the schema that a ledger has; None where there is none, or one that was killed while it was made."""
    if not inspect(connection).has_table(FactRow.__tablename__):
        return None
    return connection.scalar(select(FactRow.value).where(FactRow.name == SCHEMA_FACT))


def _say(connection: Connection, name: str, value: str) -> None:
    connection.execute(delete(FactRow).where(FactRow.name == name))
    connection.execute(insert(FactRow).values(name=name, value=value))
