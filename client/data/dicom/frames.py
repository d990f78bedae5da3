"""The frames of a DICOM file as pictures, decoded one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medforge.client.data.dicom.codestream import stated_size
from medforge.client.data.dicom.content import DicomStream, opened
from medforge.client.data.dicom.header import PIXEL_TAGS, frames_of
from medforge.client.data.dicom.library import pydicom
from medforge.client.data.dicom.picture import picture
from medforge.client.data.dicom.readable import unreadable
from medforge.client.data.dicom.reading import DicomReading
from medforge.errors import CorruptFile, InvalidInput


def read_frames(path: Path, frames: Sequence[int], reading: DicomReading) -> Iterator[Image.Image]:
    """Yield the frames at the positions `frames`, from 0, of one file as pictures of 8 bits, grey or RGB.

    Raises CorruptFile where pixels are damaged or end early, InvalidInput where they cannot be read for another reason;
    neither names the file (see `naming`).
    """
    with opened(path, PIXEL_TAGS) as stream:
        refusal = unreadable(stream, reading)
        if refusal is not None:
            raise InvalidInput("; ".join(refusal))
        for frame in frames:
            yield _frame(stream, frame, reading)


def _frame(stream: DicomStream, frame: int, reading: DicomReading) -> Image.Image:
    try:
        _check_size(stream, frame)
        stored = _stored(stream, frame)
        return picture(stored, stream.dataset, frame, stream.little, reading)
    except (InvalidInput, MemoryError):
        raise
    except Exception as error:  # whatever a codec raises; it may quote the header
        raise CorruptFile("holds pixels that cannot be decoded; replace it or leave it out") from error


def _stored(stream: DicomStream, frame: int) -> NDArray[Any]:
    """Return a frame's stored values, [H, W] or [H, W, 3]; of the file no more than that frame is read."""
    pixels, syntax = pydicom().pixels, pydicom().uid.UID(stream.syntax)
    options = pixels.utils.as_pixel_options(
        stream.dataset,
        transfer_syntax_uid=syntax,
        pixel_keyword=stream.pixels,
        pixel_vr=stream.kind,
    )
    stream.file.seek(stream.at)
    values, _ = pixels.get_decoder(syntax).as_array(stream.file, index=frame, **options)
    return np.asarray(values)


def _check_size(stream: DicomStream, frame: int) -> None:
    """Refuse a compressed frame whose own size is not the header's, which bounds what is decoded."""
    if not stream.compressed:
        return
    dataset = stream.dataset
    stream.file.seek(stream.at)
    data = pydicom().encaps.get_frame(stream.file, frame, number_of_frames=frames_of(dataset))
    stated = stated_size(data)
    if stated is not None and stated != (int(dataset.Columns), int(dataset.Rows)):
        raise CorruptFile("holds pixels of another size than its header says; replace it, or leave it out")
