"""Pictures of the images as they form: some steps, a row a class, and the same result as without them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from medforge.base_module import BaseModule
from medforge.client.distill.run import distill
from medforge.client.distill.snapshots import snapshot_steps, snapshots
from medforge.look.pictures import GAP
from tests.client.tasks import DISTILL, make_task

QUICK = DISTILL.model_copy(update={"steps": 4, "candidates": 1, "score_steps": 1})


def test_start_and_end_are_among_the_steps() -> None:
    assert snapshot_steps(1000) == {0, 200, 400, 600, 800, 1000}
    assert snapshot_steps(2) == {0, 1, 2}


def test_a_picture_has_a_row_a_class(tiny_base: BaseModule, tmp_path: Path) -> None:
    task = make_task()
    found = distill(tiny_base, task, QUICK, 0, tmp_path)
    kept = snapshots(tmp_path)
    assert [step for step, _ in kept] == [0, 1, 2, 3, 4]
    last = np.asarray(Image.open(io.BytesIO(kept[-1][1])))
    size = tiny_base.image_size
    assert last.shape == (2 * size + GAP, 3 * size + 2 * GAP, 3)
    # one candidate, at the end: the last picture shows what is kept
    shown = found.dataset.pixels(tiny_base.mean, tiny_base.std).numpy()
    assert np.array_equal(last[size + GAP :, :size], np.moveaxis(shown[QUICK.ipc], 0, -1))
    assert kept[0][1] != kept[-1][1]
    assert distill(tiny_base, task, QUICK, 0).dataset.digest == found.dataset.digest
    assert snapshots(tmp_path / "elsewhere") == ()
