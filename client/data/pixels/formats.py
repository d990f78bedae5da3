"""The image formats that are read, and what a file that is none of them is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from PIL import Image, ImageFile

from medforge.errors import CorruptFile, InvalidInput, MedForgeError

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".jpc", ".jpx", ".jpf")
_PNM = (".ppm", ".pgm", ".pbm", ".pnm", ".pfm")
IMAGE_SUFFIXES = frozenset({*_JPEG, *_PNM, ".png", ".apng", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".avif"})
"""The endings of files that hold images, in lower case; what a file is, its content says."""

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "DIB", "GIF", "WEBP", "JPEG2000", "AVIF", "PPM")
"""Pillow's names of the formats that are read. It knows more, of which some start other programs."""

_AS_NIFTI = "save it as NIfTI and open its folder as nifti:DIR"
_FRAMES_AS_PNG = "save its frames as PNG, and say with groups which are of one patient"
_KINDS = (
    (b"DICM", 128, "a DICOM file", "open its folder as dicom:DIR"),
    (b"\x1f\x8b", 0, "a gzip file", "unpack it; a folder of NIfTI volumes is opened as nifti:DIR"),
    (b"n+1\0", 344, "a NIfTI volume", "open its folder as nifti:DIR"),
    (b"n+2\0", 4, "a NIfTI volume", "open its folder as nifti:DIR"),
    (b"NRRD", 0, "a NRRD volume", _AS_NIFTI),
    (b"ObjectType", 0, "a MetaImage volume", _AS_NIFTI),
    (b"\x89HDF", 0, "an HDF5 file", "save its images as PNG or TIFF"),
    (b"\x93NUMPY", 0, "an array of NumPy", "save its images as PNG or TIFF"),
    (b"ZISRAWFILE", 0, "a Zeiss CZI slide", "save it as pyramidal TIFF and open its folder as slides:DIR"),
    (b"AVI ", 8, "a video", _FRAMES_AS_PNG),
    (b"ftypisom", 4, "a video", _FRAMES_AS_PNG),
    (b"ftypmp4", 4, "a video", _FRAMES_AS_PNG),
    (b"ftypqt", 4, "a video", _FRAMES_AS_PNG),
    (b"%PDF", 0, "a PDF document", "save its pictures as PNG"),
    (b"%!PS", 0, "a PostScript document", "save its pictures as PNG"),
    (b"PK\x03\x04", 0, "a ZIP archive", "unpack it"),
    (b"7z\xbc\xaf", 0, "a 7-Zip archive", "unpack it"),
    (b"Rar!", 0, "a RAR archive", "unpack it"),
    (b"<", 0, "a text in HTML or XML", "fetch the image itself"),
    (b"version https://git-lfs", 0, "a pointer of Git LFS", "fetch the image itself with `git lfs pull`"),
    (b"ftyphei", 4, "a HEIC picture", "save it as PNG or JPEG"),
    (b"ftypmif1", 4, "a HEIF picture", "save it as PNG or JPEG"),
    (b"\xff\x0a", 0, "a JPEG XL picture", "save it as PNG or JPEG"),
    (b"\0\0\0\x0cJXL ", 0, "a JPEG XL picture", "save it as PNG or JPEG"),
    (b"8BPS", 0, "a Photoshop document", "save it as PNG or TIFF"),
)
"""What people have instead of an image: first bytes, where they stand, what it is, what to do."""

_SLIDES = frozenset({".svs", ".ndpi", ".scn", ".bif", ".svslide", ".vms", ".mrxs"})

_JPEG_LS = 0xF7
_FRAMES = frozenset({*range(0xC0, 0xD0), _JPEG_LS} - {0xC4, 0xC8, 0xCC})
_NOT_KNOWN = (
    "unknown pixel mode",
    "unknown data organization",
    "unknown compression",
    "nsupported",
    "not supported",
    "not installed",
    "cannot handle",
    "unable to determine",
)
"""Words in which Pillow says that a file is sound, and more than it knows."""

_UNREADABLE = "replace or remove it"
_SHORTEST = 8
"""Bytes of the smallest image there is, a PBM of one pixel."""


def identify(file: IO[bytes]) -> ImageFile.ImageFile:
    """Return the picture in an open file, of which nothing but the header has been read.

    Raises CorruptFile or InvalidInput for what is no picture or one that Pillow does not read, in words that follow the
    file's name (see `decoding`).
    """
    file.seek(0)
    head = file.read(512)
    Image.init()
    reasons = []
    # Pillow's openers unpack numbers that a shorter file does not have
    for name in FORMATS if len(head) >= _SHORTEST else ():
        if name not in Image.OPEN:
            continue
        factory, accept = Image.OPEN[name]
        try:
            accepted = accept is None or accept(head[:16])
            if isinstance(accepted, str):  # says what is not installed
                reasons.append(accepted)
            elif accepted:
                file.seek(0)
                return factory(file, getattr(file, "name", ""))
        except MemoryError:
            raise
        except Exception as error:
            reason = str(error) or type(error).__name__
            if name == "TIFF":
                # of a compression that it does not know Pillow says the number alone, of odd channels still less
                reason = f"unknown compression {reason}" if reason.isdigit() else reason
                reason = "unknown pixel mode" if isinstance(error.__cause__, IndexError) else reason
            reasons.append(reason)
    raise _unread(head, file, reasons)


@contextmanager
def decoding(place: str) -> Iterator[None]:
    """Name the place in every error, and turn whatever a decoder raises over a file's bytes into CorruptFile.

    Decoders raise nearly every kind of exception over damaged bytes, and each version other ones.
    """
    try:
        yield
    except MedForgeError as error:
        raise type(error)(f"{place} {error}") from error
    except MemoryError as error:
        raise InvalidInput(f"{place} needs more memory than there is; make it smaller") from error
    except OSError as error:
        if error.errno is None:
            raise CorruptFile(f"{place} cannot be decoded ({error}); {_UNREADABLE}") from error
        raise InvalidInput(f"{place} cannot be read ({error.strerror}); check the path and its permissions") from error
    except Exception as error:
        what = str(error) or type(error).__name__
        raise CorruptFile(f"{place} cannot be decoded ({what}); {_UNREADABLE}") from error


class JpegFrame(NamedTuple):
    """Say how a JPEG file's picture is coded (the marker of its frame, 0xC0 to 0xCF or 0xF7) and in how many bits."""

    marker: int
    bits: int


def jpeg_frame(file: IO[bytes]) -> JpegFrame | None:
    """Return what the header of a JPEG file says of its picture; None where it says nothing."""
    file.seek(2)
    while len(marker := file.read(4)) == 4 and marker[0] == 0xFF:
        length = int.from_bytes(marker[2:], "big")
        if marker[1] in _FRAMES:
            bits = file.read(1)
            return JpegFrame(marker[1], bits[0]) if bits else None
        file.seek(max(length - 2, 0), 1)
    return None


def other_kind(path: Path) -> tuple[str, str] | None:
    """Return what a file is that has no image's ending, and what to do with it; None where that cannot be seen."""
    if path.suffix.lower() in _SLIDES:
        return "a whole slide", "open its folder as slides:DIR"
    with path.open("rb") as file:
        return _kind(file.read(512))


def _kind(head: bytes) -> tuple[str, str] | None:
    for magic, start, what, remedy in _KINDS:
        if head[start : start + len(magic)] == magic:
            return what, remedy
    return None


def _unread(head: bytes, file: IO[bytes], reasons: list[str]) -> InvalidInput:
    """Return the error that says what a file is, where that can be seen."""
    if not head:
        return CorruptFile(f"is empty (0 bytes); {_UNREADABLE}")
    frame = jpeg_frame(file) if head.startswith(b"\xff\xd8") else None
    if frame is not None and (frame.bits != 8 or frame.marker == _JPEG_LS):
        coding = "JPEG-LS" if frame.marker == _JPEG_LS else "JPEG"
        deep = "a 16-bit PNG or TIFF and give window=CENTRE,WIDTH" if frame.bits > 8 else "PNG"
        return InvalidInput(
            f"is a {coding} of {frame.bits} bits a channel, which Pillow does not read; save it as {deep}"
        )
    if (kind := _kind(head)) is not None:
        return InvalidInput(f"is {kind[0]} and no image; {kind[1]}")
    if any(word in reason for reason in reasons for word in _NOT_KNOWN):
        return InvalidInput(
            f"is an image of a kind that Pillow does not read here ({reasons[-1]}); save it as PNG, or as TIFF of 8"
            " or 16 bits, in grey or RGB"
        )
    why = f" ({reasons[-1]})" if reasons else ""
    return CorruptFile(f"is not a readable image{why}; {_UNREADABLE}")
