"""An image file of any kind that is answered about: an ordinary picture, or DICOM, told by its content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medforge.client.data.dicom.content import is_dicom
from medforge.client.data.dicom.single import check_dicom, read_dicom
from medforge.client.data.pixels.decode import read_image
from medforge.client.data.pixels.formats import decoding
from medforge.client.data.pixels.reading import PLAIN, Reading, check_header
from medforge.image_geometry import ImageGeometry


def read_file(path: Path, geometry: int | ImageGeometry, reading: Reading = PLAIN) -> NDArray[np.uint8]:
    """Decode one file to uint8 [3, S, S]; raises CorruptFile and InvalidInput, naming it."""
    if _is_dicom(path):
        return read_dicom(path, geometry, reading)
    return read_image(path, geometry, reading=reading)


def check_file(path: Path, reading: Reading = PLAIN) -> None:
    """Refuse a file for what its header says; nothing is decoded."""
    if _is_dicom(path):
        check_dicom(path, reading)
    else:
        check_header(path, reading)


def _is_dicom(path: Path) -> bool:
    with decoding(str(path)):
        return is_dicom(path)
