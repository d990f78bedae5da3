"""A sheet of small pictures for each class, for the site's own eyes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from medforge.client.data.inspection.looking import looker
from medforge.client.data.pixels.glance import Glance
from medforge.look.pictures import data_uri, grid

if TYPE_CHECKING:
    from medforge.client.data.task import Split, Task

SHOWN = 24
_SIDE, _COLUMNS = 72, 12


class Sheet(NamedTuple):
    """Hold the address of a class's pictures, and how many of how many are shown."""

    name: str
    picture: str | None
    shown: int
    images: int


def contact_sheets(task: Task) -> list[Sheet]:
    """Return a sheet of each class, its pictures evenly spaced over the first split that is there."""
    split = task.splits["train" if "train" in task.there else task.there[0]]
    return [_sheet(split, name, place, task.multi_label) for place, name in enumerate(task.own_names)]


def _sheet(split: Split, name: str, place: int, several: bool) -> Sheet:
    here = np.flatnonzero((split.labels[:, place] == 1 if several else split.labels == place).numpy())
    chosen = here[np.linspace(0, len(here) - 1, min(SHOWN, len(here))).astype(np.int64)] if len(here) else here
    source = split.images.bank.source
    with ThreadPoolExecutor(split.images.bank.storage.workers) as workers:
        seen = looker(source, _SIDE).glances(split.images.indices[chosen].tolist(), workers)
    small = [one.small.transpose(2, 0, 1) for one in seen if isinstance(one, Glance)]
    picture = data_uri(grid(np.stack(small), _COLUMNS), "image/png") if small else None
    return Sheet(name, picture, len(small), len(here))
