"""The workspace that 0.1.0 made, on medforge-tiny."""

import shutil
from pathlib import Path

RECORDED = Path(__file__).parent.parent / "recorded" / "workspace-0.1.0"


def copy_recorded(place: Path) -> Path:
    """Copy it, since whoever works in it changes it; return the copy."""
    shutil.copytree(RECORDED, place)
    return place
