"""A forge with two tasks, and its merged model as a checkout."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.manifest import LEVELS
from tests.aggregator.forges import UNEXAMINED, fold_all
from tests.making import make_branch
from tests.model.commands import run

# a display name that Markdown, HTML, a terminal and a spreadsheet could each take for more than a name
HOSTILE = "=cmd|<b>Klinik</b> [x](y) `"


def sent(base: BaseModule, seed: int, task: str, contributor: str, **facts: object) -> Branch:
    branch = make_branch(base, seed, task=task, contributor=contributor)
    manifest = branch.manifest.model_copy(update=facts)
    return replace(branch, manifest=manifest)


@pytest.fixture(scope="package")
def forge(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> Path:
    """Two hospitals of task lung, which said how far their images lie, and one of colon, which did not."""
    directory = tmp_path_factory.mktemp("model") / "forge"
    main = MainBranch(Forge.establish(directory, tiny_base, choose_settings(), policy=UNEXAMINED), tiny_base)
    near = tuple(float(place) for place in range(1, 1 + len(LEVELS)))
    fold_all(
        main,
        [
            sent(tiny_base, 0, "lung", "north", distances=near, modality="chest CT"),
            sent(tiny_base, 1, "lung", "south", distances=near, display_name=HOSTILE),
            sent(tiny_base, 2, "colon", "south", display_name=HOSTILE),
        ],
    )
    main.forge.close()
    return directory


@pytest.fixture(scope="package")
def checkout(forge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The head of that forge, as `medforge checkout` writes it."""
    out = tmp_path_factory.mktemp("model") / "merged"
    run("checkout", "--forge", forge, "--out", out)
    return out


@pytest.fixture(scope="package")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of PNGs of several sizes, one of them grey, in two folders."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "more").mkdir()
    random = np.random.default_rng(0)
    for place, shape in enumerate(((32, 32, 3), (40, 50, 3), (64, 33, 3), (48, 48), (32, 90, 3))):
        image = Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8))
        image.save(folder / ("more" if place > 2 else "") / f"image {place}.png")
    return folder
