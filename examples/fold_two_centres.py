"""Fold two centres' branches into a forge on disk, and read its log.

The forge is served as it would be for real; only the address is this machine's.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from centres import contribute

import medforge

MEDFORGE = (sys.executable, "-m", "medforge")


def main(directory: Path) -> None:
    """Push both branches to a forge, wait until they are folded, and print the main branch's commits."""
    workspaces = contribute(directory)
    forge, ready = directory / "forge", directory / "forge.address"
    ready.unlink(missing_ok=True)
    # the branches of an example are too quickly made for the examination, which holds what does not beat chance
    serve = [*MEDFORGE, "serve", "--forge", str(forge), "--base", "medforge-tiny", "--listen", "127.0.0.1:0"]
    serve += ["--ready-file", str(ready), "--policy", "admission.behaviour=false", "--open-tasks"]
    with subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(ready.exists, "the forge does not start")
            for place in workspaces.values():
                push = [*MEDFORGE, "push", "--workspace", str(place), "--at", ready.read_text().strip()]
                subprocess.run(push, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_until(lambda: len(medforge.read_log(forge)) >= len(workspaces), "the branches are not folded")
        finally:
            server.terminate()

    for commit in medforge.read_log(forge):
        scores = ", ".join(f"{task} {score.acc:.2f}" for task, score in commit.metrics.items())
        print(f"{commit.digest[:12]}  {commit.kind} {commit.arrival}  {commit.contributor}: {commit.task}  ({scores})")

    # the same branches in the same order give the same forge item, also without a forge
    branches = [medforge.load_branch(place / "branch") for place in workspaces.values()]
    item = medforge.merge(branches, method="routed", base=medforge.load_base("medforge-tiny"))
    print("merged here to the same bytes:", item.digest == medforge.read_log(forge)[-1].item)


def wait_until(condition: Callable[[], bool], complaint: str, seconds: float = 120) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(complaint)
        time.sleep(0.2)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
