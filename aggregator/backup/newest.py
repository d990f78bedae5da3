"""When a forge was last backed up, as its ledger remembers it."""

from __future__ import annotations

from datetime import datetime

from medforge.aggregator.ledger.database import Database
from medforge.files import canonical_json, parse_json

BACKUP_FACT = "backup"


def remember_backup(ledger: Database, made_at: str) -> None:
    """Remember, durably, of when (RFC 3339) the newest backup is."""
    ledger.set_fact(BACKUP_FACT, canonical_json({"made_at": made_at}).decode())


def newest_backup(ledger: Database) -> datetime | None:
    """Return of when the newest backup is, None where there was none, or none that is known of."""
    try:
        return datetime.fromisoformat(parse_json(ledger.fact(BACKUP_FACT) or "null")["made_at"])
    except (ValueError, TypeError, LookupError):
        return None
