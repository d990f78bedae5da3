"""Load a merged model, and ask it about images: which task, which class, who answered, or none of these.

The model here is merged on the spot; `medforge checkout --out DIR` writes one of a forge.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from centres import SOURCES, contribute

import medforge

MEDFORGE = (sys.executable, "-m", "medforge")


def main(directory: Path) -> None:
    """Print what the merged model says about a few test images of each centre, and about noise."""
    branches = [str(place / "branch") for place in contribute(directory).values()]
    merged = directory / "merged"
    if not merged.exists():
        subprocess.run([*MEDFORGE, "merge", *branches, "--out", str(merged)], check=True, stdout=subprocess.DEVNULL)

    model = medforge.load(merged)
    for name, source in SOURCES.items():
        test = medforge.open_task(source, model.base).test
        # any size will do, and paths and PIL images too; these are uint8 [4, 3, S, S]
        for label, found in zip(test.labels[:4].tolist(), model.predict(test.images[0:4]), strict=True):
            truth = next(task for task in model.tasks if task.name == name).classes[label].prompt
            who = ", ".join(model.card.who(branch) for branch in found.answered_by)
            print(f"{found.task}: {found.prompt} ({found.probability:.2f}), says {who}; it is {truth}")

    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    print("noise:", "none of these" if model.predict(noise)[0].none_of_these else "taken for an image of a task")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
