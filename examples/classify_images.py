"""Load a base module and a forge item, and classify images.

The item here is merged on the spot; `medforge checkout --out DIR` writes one of a forge.
"""

import sys
import tempfile
from pathlib import Path

from centres import SOURCES, contribute

import medforge


def main(directory: Path) -> None:
    """Print what the merged model says about a few test images of each centre."""
    workspaces = contribute(directory)
    base = medforge.load_base("medforge-tiny")
    branches = [medforge.load_branch(place / "branch") for place in workspaces.values()]
    medforge.merge(branches, method="routed", base=base).save(directory / "merged")

    item = medforge.load_item(directory / "merged")
    item.check(base)
    for branch, source in zip(branches, SOURCES.values(), strict=True):
        prompts = branch.manifest.prompts
        test = medforge.open_task(source, base).test
        pixels, labels = test.images[0:4], test.labels[0:4].tolist()  # uint8 [4, 3, S, S]
        probabilities = item.logits(base, base.normalise(pixels), prompts).softmax(dim=1)
        for label, row in zip(labels, probabilities, strict=True):
            best = int(row.argmax())
            print(f"{branch.manifest.task}: {prompts[best]} ({float(row[best]):.2f}); it is {prompts[label]}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
