"""Merge two plugins by three methods, and score what came out on both tasks.

No distilled data is needed for these methods: plugins alone are enough.
"""

import sys
import tempfile
from pathlib import Path

from centres import SOURCES, contribute

import medforge


def main(directory: Path) -> None:
    """Print the accuracy of each centre's own plugin, and of three merges, on every centre's test images."""
    workspaces = contribute(directory)
    base = medforge.load_base("medforge-tiny")
    tasks = {name: medforge.open_task(source, base) for name, source in SOURCES.items()}
    plugins = {name: medforge.load_plugin(place / "branch" / "plugin") for name, place in workspaces.items()}

    models: dict[str, medforge.Plugin | medforge.ForgeItem | None] = {"base alone": None}
    models |= {f"plugin of {name}": plugin for name, plugin in plugins.items()}
    for method in ("model-soup", "ties", "med-lego"):
        models[method] = medforge.merge(list(plugins.values()), method=method, base=base)

    print(f"{'':16}" + "".join(f"{name:>8}" for name in tasks))
    for name, model in models.items():
        scores = [medforge.score(model, base, task).acc for task in tasks.values()]
        print(f"{name:16}" + "".join(f"{score:8.3f}" for score in scores))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
