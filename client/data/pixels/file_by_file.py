"""Images of which a file holds several: each file is opened once for all of its images that are wanted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def file_by_file(
    wanted: NDArray[np.int64],
    file_of: Callable[[int], Path],
    read: Callable[[Path, list[int]], None],
    workers: ThreadPoolExecutor,
) -> NDArray[np.int64]:
    """Call `read` with each file and the wanted images that lie in it, several files at once; return `wanted`."""
    of_file: dict[Path, list[int]] = defaultdict(list)
    for index in wanted.tolist():
        of_file[file_of(index)].append(index)
    for _ in workers.map(read, of_file, of_file.values()):
        pass
    return wanted
