"""Whether a file's pixels can be read, told from its header before any of them is."""

from __future__ import annotations

import struct
from typing import Any

from medforge.client.data.dicom.codestream import stated_size
from medforge.client.data.dicom.content import DicomStream, beginning
from medforge.client.data.dicom.library import INSTALL, INSTALL_GPL, has_gpl_codec, pydicom
from medforge.client.data.dicom.lookup import Rescale
from medforge.client.data.dicom.offers import modality
from medforge.client.data.dicom.picture import GREY, PALETTE, lacks_window, no_window
from medforge.client.data.dicom.reading import DicomReading
from medforge.errors import split_remedy

COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_MPEG = "1.2.840.10008.1.2.4.10"
_VIDEO = tuple(f"{_MPEG}{last}" for last in range(10))
"""MPEG-2, MPEG-4 and HEVC; the newest share the first digits with nothing else."""

_EXTENDED = "1.2.840.10008.1.2.4.51"
_MEND = "save it again in a common form, or leave it out"
Refusal = tuple[str, str]


def unreadable(stream: DicomStream, reading: DicomReading) -> Refusal | None:
    """Return what keeps the pixels from being read and what to do about it, or None."""
    dataset = stream.dataset
    if not stream.pixels:
        return "holds no pixels", "fetch it again, or leave it out"
    try:
        return (
            _shape(dataset, stream.pixels, reading.megapixels)
            or _coding(stream)
            or _length(stream)
            or _size(stream)
            or (_grey(dataset, stream, reading) if str(dataset.PhotometricInterpretation) in GREY else None)
        )
    except (
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        struct.error,
    ):  # a value that is none of its kind
        return "has a header that contradicts itself", _MEND


def _shape(dataset: Any, pixels: str, megapixels: int) -> Refusal | None:
    needed = ["Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"]
    if pixels == "PixelData":
        needed += ["BitsStored", "PixelRepresentation"]
    for name in needed:
        if dataset.get(name) in (None, ""):
            return f"has no {name} in its header", _MEND
    width, height = int(dataset.Columns), int(dataset.Rows)
    if width * height == 0:
        return "is an image without extent", "leave it out"
    if width * height > megapixels * 1_000_000:
        needed_millions = -(-width * height // 1_000_000)
        return (
            f"has {width} × {height} pixels, more than {megapixels} million",
            f"make it smaller, or allow so many with megapixels={needed_millions}",
        )
    samples, photometric = int(dataset.SamplesPerPixel), str(dataset.PhotometricInterpretation)
    known = (*GREY, PALETTE) if samples == 1 else COLOURS if samples == 3 else ()
    if photometric not in known:
        return f"has {samples} values a pixel in a colour space that is not read", "save it as RGB or MONOCHROME2"
    allocated, stored = int(dataset.BitsAllocated), int(dataset.get("BitsStored", dataset.BitsAllocated))
    if allocated not in (1, 8, 16, 32, 64) or not 1 <= stored <= allocated:
        return f"stores {stored} of {allocated} bits a pixel, which is not read", "save it with 8 or 16 bits"
    if photometric.startswith("YBR") and stored > 8:
        return f"has {stored} bits a colour in {photometric}", "save it as RGB"
    return None


def _coding(stream: DicomStream) -> Refusal | None:
    syntax = pydicom().uid.UID(stream.syntax)
    if stream.syntax.startswith(_VIDEO):
        return "is a video", "save the frames that you need as images"
    if not syntax.is_transfer_syntax or syntax.is_private:
        return "is compressed in a way that is not in the standard", _MEND
    if stream.compressed and not syntax.is_encapsulated:
        return "has compressed pixels and does not say how", _MEND
    if syntax.is_encapsulated and not stream.compressed:
        return "says that its pixels are compressed, and they are not", _MEND
    try:
        decoder = pydicom().pixels.get_decoder(syntax)
    except NotImplementedError:
        return f"is compressed as {syntax.name}, which is not read", _MEND
    deep = stream.syntax == _EXTENDED and int(stream.dataset.BitsStored) > 8
    if decoder.is_available and (not deep or has_gpl_codec()):
        return None
    if deep or syntax.name.startswith("JPEG Lossless"):
        depth = " with more than 8 bits" if deep else ""
        return (
            f"is compressed as {syntax.name}{depth}, for which only a codec under the GPL is known",
            f"install it: {INSTALL_GPL}, or save it without compression",
        )
    return f"is compressed as {syntax.name}", f"install its codec: {INSTALL}"


def _length(stream: DicomStream) -> Refusal | None:
    """Refuse uncompressed pixels that end early."""
    if stream.compressed:
        return None
    dataset = stream.dataset
    samples = 2 if str(dataset.PhotometricInterpretation) == "YBR_FULL_422" else int(dataset.SamplesPerPixel)
    values = int(dataset.Rows) * int(dataset.Columns) * samples * int(dataset.get("NumberOfFrames") or 1)
    needed = (values * int(dataset.BitsAllocated) + 7) // 8
    if stream.there < needed:
        return f"is cut off: {stream.there} of {needed} bytes of pixels are there", "fetch it again, or leave it out"
    return None


def _size(stream: DicomStream) -> Refusal | None:
    """Refuse compressed pixels that are not as large as the header says, which would be decoded without a bound."""
    if not stream.compressed:
        return None
    stated = stated_size(beginning(stream))
    if stated is None or stated == (int(stream.dataset.Columns), int(stream.dataset.Rows)):
        return None
    return "holds pixels of another size than its header says", "replace it, or leave it out"


def _grey(dataset: Any, stream: DicomStream, reading: DicomReading) -> Refusal | None:
    """Refuse grey values that the header makes all one, or that have no window."""
    frames = int(dataset.get("NumberOfFrames") or 1)
    each = frames if dataset.get("PerFrameFunctionalGroupsSequence") else 1
    for mapping in (modality(dataset, frame, stream.little) for frame in range(each)):
        if isinstance(mapping, Rescale) and not mapping.tells:
            return (
                f"has a rescale slope of {mapping.slope:g} and an intercept of {mapping.intercept:g}, with which no "
                "value can be told from another",
                "mend its header, or leave it out",
            )
    if not lacks_window(dataset, frames, stream.little, reading):
        return None
    what, remedy = split_remedy(no_window(int(dataset.get("BitsStored", 32))))
    return what, remedy or _MEND
