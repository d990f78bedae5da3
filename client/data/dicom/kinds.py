"""What a DICOM object is, told by its SOP class: a picture, a mask, or something else that has a name."""

from __future__ import annotations

from typing import Any

from medforge.client.data.dicom.library import pydicom

PICTURE = "picture"
MASK = "segmentation"
DIRECTORY = "DICOMDIR"


def kind_of(dataset: Any, has_pixels: bool) -> str:
    """Return `picture`, `segmentation`, `DICOMDIR` or the standard's name of another object.

    The standard calls pictures "… Image Storage", and maps of measured values "Parametric Map". A class that it does
    not know, or none, is a picture where there are pixels.
    """
    named = dataset.get("SOPClassUID") or getattr(dataset, "file_meta", {}).get("MediaStorageSOPClassUID") or ""
    name = pydicom().uid.UID(str(named)).name if named else ""
    if name == str(named):  # not in the standard's register
        return PICTURE if has_pixels else "an object of an unknown kind"
    if name.startswith("Media Storage Directory"):
        return DIRECTORY
    if name.startswith("Segmentation"):
        return MASK
    if "Image" in name or "Parametric Map" in name:
        return PICTURE
    return str(name.removesuffix(" Storage"))
