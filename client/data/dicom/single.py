"""One DICOM file as one picture, for whoever has a file and no data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medforge.client.data.dicom.frames import read_frames
from medforge.client.data.dicom.header import DicomHeader, read_header
from medforge.client.data.dicom.kinds import PICTURE
from medforge.client.data.dicom.naming import naming
from medforge.client.data.dicom.reading import DicomReading, FromHeader
from medforge.client.data.pixels.decode import to_pixels
from medforge.client.data.pixels.reading import Reading
from medforge.errors import InvalidInput
from medforge.image_geometry import ImageGeometry


def read_dicom(path: Path, geometry: int | ImageGeometry, reading: Reading) -> NDArray[np.uint8]:
    """Decode one file to uint8 [3, S, S], through the window of `reading` or else the header's.

    Raises InvalidInput for what is no picture or holds several frames, and as `read_frames` does; all name the file.
    """
    own = _own(reading)
    with naming(lambda: str(path)):
        _refuse_others(read_header(path, own))
        return to_pixels(next(read_frames(path, [0], own)), geometry)


def check_dicom(path: Path, reading: Reading) -> None:
    """Refuse a file for what its header says, as `read_dicom` does; nothing is decoded."""
    with naming(lambda: str(path)):
        header = read_header(path, _own(reading))
        _refuse_others(header)
        if header.refusal is not None:
            raise InvalidInput("; ".join(header.refusal))


def _own(reading: Reading) -> DicomReading:
    choice = FromHeader() if reading.window is None else reading.window
    return DicomReading((choice,), megapixels=reading.megapixels)


def _refuse_others(header: DicomHeader) -> None:
    if header.kind != PICTURE:
        raise InvalidInput(f"is a DICOM file and no picture ({header.kind}); leave it out")
    if header.frames > 1:
        raise InvalidInput(f"holds {header.frames} frames; save each as a file of its own")
