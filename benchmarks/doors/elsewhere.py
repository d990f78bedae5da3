"""NVFlare, where it is installed: what its transport takes for the rounds and the plugin of federated averaging."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

JOB = Path(__file__).parent / "nvflare" / "job.py"
LONGEST = 900.0


def nvflare(python: Path, plugin: Path, out: Path, sites: int, rounds: int) -> dict[str, Any]:
    """Run NVFlare's simulator by its own Python, in a network of its own; return what it measured, kept in ``out``."""
    if not (out / "result.json").exists():
        shutil.rmtree(out, ignore_errors=True)
        given = ["--plugin", plugin, "--out", out, "--sites", sites, "--rounds", rounds]
        alone = ["unshare", "--map-root-user", "--net", python, JOB, *given]
        done = subprocess.run(
            list(map(str, alone)), capture_output=True, text=True, timeout=LONGEST, check=False, start_new_session=True
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found: dict[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return found
