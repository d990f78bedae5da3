"""Tables that only grow: the database itself refuses to change or remove their rows."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine, inspect, text

TABLES = ("commits", "journal", "tasks")
_PRESENT = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE NOT tgisinternal "
    "AND tgenabled <> 'D' AND relnamespace = current_schema()::regnamespace",
}
_VERBS = {"sqlite": ("UPDATE", "DELETE"), "postgresql": ("UPDATE", "DELETE", "TRUNCATE")}


def missing(engine: Engine) -> list[str]:
    """Name the triggers that are not there, or are switched off; none where the database knows no such triggers."""
    dialect = engine.dialect.name
    if dialect not in _PRESENT:
        return []
    with engine.connect() as connection:
        there = set(connection.scalars(text(_PRESENT[dialect])))
        tables = set(inspect(connection).get_table_names())
    wanted = [_name(table, verb) for table in TABLES if table in tables for verb in _VERBS[dialect]]
    return [name for name in wanted if name not in there]


def protect(engine: Engine) -> None:
    """Make the triggers that a ledger of an earlier version, or one that was copied, lacks."""
    for name in missing(engine):
        table, _, verb = name.partition("_no_")
        with engine.begin() as connection:
            for statement in _statements(engine.dialect.name, table, verb.upper()):
                connection.execute(text(statement))


def protecting(dialect: str, *tables: str) -> Iterator[str]:
    """Return the statements that make the triggers of tables; none where the database knows no such triggers."""
    for table in tables:
        for verb in _VERBS.get(dialect, ()):
            yield from _statements(dialect, table, verb)


def _name(table: str, verb: str) -> str:
    return f"{table}_no_{verb.lower()}"


def _statements(dialect: str, table: str, verb: str) -> Iterator[str]:
    name = _name(table, verb)
    if dialect == "sqlite":
        yield (
            f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
        return
    yield (
        f"CREATE OR REPLACE FUNCTION {table}_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"'BEGIN RAISE EXCEPTION ''{table} is append-only''; END'"
    )
    each = "STATEMENT" if verb == "TRUNCATE" else "ROW"
    yield f"DROP TRIGGER IF EXISTS {name} ON {table}"
    yield f"CREATE TRIGGER {name} BEFORE {verb} ON {table} FOR EACH {each} EXECUTE FUNCTION {table}_append_only()"
