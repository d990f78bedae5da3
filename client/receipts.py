"""All receipts that a workspace was ever given: a newer one stands beside the older, and none is replaced."""

from __future__ import annotations

import os
from pathlib import Path

from medforge.files import make_private, open_private, sync_directory
from medforge.proto.receipt import Receipt


def history_of(path: Path) -> Path:
    """Return where all receipts are of which the newest is in a file: ``receipts.jsonl`` beside ``receipt.json``."""
    return path.with_name(f"{path.stem}s.jsonl")


def keep_receipt(path: Path, receipt: Receipt) -> None:
    """Append a receipt to all that were given, and let it be the newest; raises OSError where it cannot be written.

    A workspace of an earlier version has its one receipt in the newest's place alone, which is appended first.
    """
    history = history_of(path)
    known = history.read_bytes().splitlines() if history.exists() else []
    newest = path.read_bytes().strip() if path.exists() else b""
    due = [line for line in dict.fromkeys((newest, receipt.to_bytes())) if line and line not in known]
    if due:
        make_private(history.parent)
        with open(history, "ab", opener=open_private) as file:
            file.write(b"".join(b" ".join(line.splitlines()) + b"\n" for line in due))
            file.flush()
            os.fsync(file.fileno())
        sync_directory(history.parent)
    receipt.save(path)
