"""What somebody can do to a ledger who has its database, and not only the forge."""

from sqlalchemy import create_engine, text

from medforge.aggregator.ledger.append_only import TABLES
from medforge.aggregator.ledger.database import Database


def alter(ledger: Database, statement: str, protected: bool = True, **values: object) -> None:
    """Run a statement past the triggers that refuse it; `protected` puts them back, as who knows of them would."""
    engine = create_engine(ledger.url)
    with engine.begin() as connection:
        for table in TABLES:
            if engine.dialect.name == "postgresql":
                connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            else:
                for verb in ("update", "delete"):
                    connection.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_{verb}"))
        connection.execute(text(statement), values)
    engine.dispose()
    if protected:
        ledger.protect()


def alter_tags(ledger: Database, old: str, new: str) -> None:
    """Write another commit into the tags."""
    statement = "UPDATE journal SET about = replace(about, :old, :new) WHERE what = 'tagged'"
    alter(ledger, statement, protected=False, old=old, new=new)
