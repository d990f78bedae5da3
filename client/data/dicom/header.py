"""What is kept of a DICOM file's header while a data set is listed: whose it is, and whether its pixels can be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medforge.client.data.dicom import offers
from medforge.client.data.dicom.content import opened
from medforge.client.data.dicom.kinds import PICTURE, kind_of
from medforge.client.data.dicom.picture import PALETTE_TAGS
from medforge.client.data.dicom.readable import unreadable
from medforge.client.data.dicom.reading import DicomReading

IDENTITY = ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID"]
"""What a table's row may name, from the narrowest to the widest."""

PIXEL_TAGS = [
    *offers.TAGS,
    *PALETTE_TAGS,
    "BitsAllocated",
    "BitsStored",
    "Columns",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "HighBit",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PixelPaddingRangeLimit",
    "PixelPaddingValue",
    "PixelRepresentation",
    "PlanarConfiguration",
    "Rows",
    "SamplesPerPixel",
]


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """Hold one file's place, the four names that group it (`IDENTITY`; "" where absent), and what it is.

    `kind` is as `kind_of` returns it. `refusal` says what is wrong with its pixels and what to do, and None where
    nothing is known to be. `burned_in` says that its header admits text in the pixels.
    """

    path: Path
    identity: tuple[str, str, str, str]
    kind: str
    frames: int
    burned_in: bool
    refusal: tuple[str, str] | None


def read_header(path: Path, reading: DicomReading) -> DicomHeader:
    """Read the header of a DICOM file.

    Raises CorruptFile where it cannot be read, InvalidInput where it inflates without end; neither names the file.
    """
    with opened(path, [*IDENTITY, *PIXEL_TAGS, "SOPClassUID", "BurnedInAnnotation"]) as stream:
        dataset = stream.dataset
        kind = kind_of(dataset, bool(stream.pixels))
        instance, series, study, patient = (_text(dataset, name) for name in IDENTITY)
        return DicomHeader(
            path=path,
            identity=(instance, series, study, patient),
            kind=kind,
            frames=frames_of(dataset),
            burned_in=_text(dataset, "BurnedInAnnotation").upper() == "YES",
            refusal=unreadable(stream, reading) if kind == PICTURE or stream.pixels else None,
        )


def frames_of(dataset: Any) -> int:
    """Return the number of frames that a header states, at least 1."""
    try:
        return max(1, int(dataset.get("NumberOfFrames") or 1))
    except (TypeError, ValueError):
        return 1


def _text(dataset: Any, name: str) -> str:
    value = dataset.get(name)
    return "" if value is None else str(value).strip().strip("\0")
