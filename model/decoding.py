"""Files decoded ahead of the network, in their order and in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medforge.client.data.pixels.reading import PLAIN, Reading
from medforge.errors import InvalidInput
from medforge.image_geometry import ImageGeometry
from medforge.model.files import check_file, read_file

_AHEAD = 128


class Decoded(NamedTuple):
    """Pair a file with its pixels, uint8 [3, S, S], or with what is wrong with it."""

    path: Path
    pixels: NDArray[np.uint8] | None
    fault: InvalidInput | None = None


def decode_ahead(
    paths: Iterable[Path], geometry: int | ImageGeometry, reading: Reading = PLAIN, workers: int = 2
) -> Iterator[Decoded]:
    """Yield every file in its order; Pillow releases the interpreter while it decodes the next ones."""
    waiting: deque[Future[Decoded]] = deque()
    left = iter(paths)
    with ThreadPoolExecutor(workers) as pool:
        waiting.extend(pool.submit(_decode, path, geometry, reading) for path in islice(left, _AHEAD))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(_decode, path, geometry, reading) for path in islice(left, 1))


def check_headers(paths: Iterable[Path], reading: Reading = PLAIN) -> None:
    """Raise InvalidInput for the first file that is plainly no image to be read, before any is answered."""
    for path in paths:
        check_file(path, reading)


def _decode(path: Path, geometry: int | ImageGeometry, reading: Reading) -> Decoded:
    try:
        return Decoded(path, read_file(path, geometry, reading))
    except InvalidInput as error:
        return Decoded(path, None, error)
