"""What a header says of a frame's grey values: the modality's mapping, and the ways it offers to show them."""

from __future__ import annotations

from typing import Any

from medforge.client.data.dicom.lookup import Mapping, Rescale, read_table
from medforge.client.data.dicom.reading import Offered
from medforge.client.data.dicom.voi import Shown, SigmoidWindow, VoiTable
from medforge.client.data.pixels.window import Window
from medforge.errors import InvalidInput

TAGS = [
    "ModalityLUTSequence",
    "PerFrameFunctionalGroupsSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "SharedFunctionalGroupsSequence",
    "VOILUTFunction",
    "VOILUTSequence",
    "WindowCenter",
    "WindowCenterWidthExplanation",
    "WindowWidth",
]
"""What is read here; enhanced multi-frame images have it in their functional groups, for all frames or for each."""


def modality(dataset: Any, frame: int, little: bool) -> Mapping:
    """Return the mapping from stored values to the modality's; raises ValueError for a table that is none."""
    group = _group(dataset, frame, "PixelValueTransformationSequence")
    if group.get("ModalityLUTSequence"):
        return read_table(group.ModalityLUTSequence[0], little, bool(dataset.get("PixelRepresentation")))
    slope, intercept = group.get("RescaleSlope"), group.get("RescaleIntercept")
    return Rescale(1.0 if slope is None else float(slope), 0.0 if intercept is None else float(intercept))


def offered(dataset: Any, frame: int, little: bool, signed: bool) -> list[Offered]:
    """Return the ways to show a frame, lookup tables first, as both are equal in rank and a table says more.

    `signed` says whether the modality's values may be negative. A window that is none is left out.
    """
    group = _group(dataset, frame, "FrameVOILUTSequence")
    found = []
    for item in group.get("VOILUTSequence") or ():
        try:
            found.append(Offered(VoiTable(read_table(item, little, signed)), str(item.get("LUTExplanation") or "")))
        except (ValueError, TypeError, AttributeError):
            continue
    centres, widths = (_several(group.get(name)) for name in ("WindowCenter", "WindowWidth"))
    names = _several(group.get("WindowCenterWidthExplanation"))
    function = str(group.get("VOILUTFunction") or "LINEAR").upper()
    for place, (centre, width) in enumerate(zip(centres, widths, strict=False)):
        window = _window(centre, width, function)
        if window is not None:
            found.append(Offered(window, str(names[place]) if place < len(names) else ""))
    return found


def _window(centre: Any, width: Any, function: str) -> Shown | None:
    try:
        middle, extent = float(centre), float(width)
        if function == "SIGMOID":
            return SigmoidWindow(middle, extent)
        if function == "LINEAR_EXACT":
            return Window(middle, extent) if extent > 0 else None
        return Window.of_dicom(middle, extent) if function == "LINEAR" and extent >= 1 else None
    except (InvalidInput, ValueError, TypeError):
        return None


def _group(dataset: Any, frame: int, name: str) -> Any:
    """Return where a frame has the values of a functional group: its own item, that of all frames, or the data set."""
    own, shared = dataset.get("PerFrameFunctionalGroupsSequence"), dataset.get("SharedFunctionalGroupsSequence")
    for items, place in ((own, frame), (shared, 0)):
        if items and place < len(items) and items[place].get(name):
            return items[place].get(name)[0]
    return dataset


def _several(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
