"""What somebody with a ledger's file can do to it."""

import sqlite3
from pathlib import Path


def alter_tags(directory: Path, old: str, new: str) -> None:
    """Write another commit into the tags."""
    connection = sqlite3.connect(directory / "ledger.sqlite")
    connection.execute("DROP TRIGGER IF EXISTS journal_no_update")
    connection.execute("UPDATE journal SET about = replace(about, ?, ?) WHERE what = 'tagged'", (old, new))
    connection.commit()
    connection.close()
