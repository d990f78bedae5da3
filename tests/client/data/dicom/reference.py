"""What a frame should look like, by pydicom's own functions and the standard's formulas: shares no code with us."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut


def expected(path: Path) -> list[NDArray[np.float64]]:
    """Each frame in 0 … 255, [H, W] or [H, W, 3]: header's window, else all of 8 bits, else the percentiles.

    Raises whatever pydicom raises for what it cannot decode.
    """
    dataset = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    array = dataset.pixel_array
    frames = array if int(dataset.get("NumberOfFrames") or 1) > 1 else array[None]
    return [_shown(frame, dataset) for frame in frames]


def _shown(stored: NDArray[Any], dataset: Any) -> NDArray[np.float64]:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = apply_color_lut(stored, dataset)
        return colours / (2.0 ** (8 * colours.dtype.itemsize) - 1) * 255
    if dataset.SamplesPerPixel == 3:
        return stored / (2.0**dataset.BitsStored - 1) * 255
    values = np.asarray(apply_modality_lut(stored, dataset), dtype=np.float64)
    if dataset.get("VOILUTSequence"):
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        shown = apply_voi_lut(values.astype(np.int64), dataset) / (2.0**bits - 1)
    elif "WindowWidth" in dataset:
        low, high = _range(dataset)
        shown = (apply_voi_lut(values, dataset) - low) / (high - low)
    elif dataset.BitsStored <= 8:
        low, high = _range(dataset)
        shown = (values - low) / (high - low)
    else:
        low, high = np.percentile(values, [0.5, 99.5])
        shown = np.clip((values - low) / (high - low), 0, 1) if high > low else (values > low) * 1.0
    return 255 * (1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown)


def _range(dataset: Any) -> tuple[float, float]:
    """The range that pydicom's `apply_windowing` documents its results to be in."""
    bits = int(dataset.BitsStored)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dataset.PixelRepresentation else (0, 2**bits - 1)
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    return low * slope + intercept, high * slope + intercept
