"""The folder in which MedForge keeps for a user what can be computed or fetched again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder: what MEDFORGE_CACHE names, else `medforge` in the user's cache folder."""
    own = os.environ.get("MEDFORGE_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "medforge"
