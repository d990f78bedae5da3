"""Write DICOM files for tests, with whatever header, and find pydicom's own."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

FILES = Path(pydicom.__file__).parent / "data"
"""The folder of the files that pydicom is tested with."""


def pydicom_file(name: str) -> Path:
    """The path of one of pydicom's test files."""
    return FILES / "test_files" / name


def dataset_of(pixels: NDArray[Any], **elements: Any) -> Dataset:
    """A data set of unsigned or signed pixels [H, W], [N, H, W] or [.., 3]; a tag given as None is taken out."""
    colour = pixels.shape[-1] == 3 and pixels.ndim > 2
    height, width = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    many = pixels.ndim == 4 or (pixels.ndim == 3 and not colour)
    made = Dataset()
    made.SOPClassUID = SecondaryCaptureImageStorage
    made.SOPInstanceUID, made.SeriesInstanceUID, made.StudyInstanceUID = (generate_uid() for _ in range(3))
    made.PatientID = "P-0"
    made.Rows, made.Columns = height, width
    made.SamplesPerPixel = 3 if colour else 1
    made.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        made.PlanarConfiguration = 0
    if many:
        made.NumberOfFrames = len(pixels)
    made.BitsAllocated = made.BitsStored = pixels.dtype.itemsize * 8
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    if pixels.dtype.kind == "f":
        made.FloatPixelData = pixels.astype("<f4").tobytes()
        del made.BitsStored, made.HighBit, made.PixelRepresentation
    else:
        made.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        made["PixelData"].VR = "OW"
    for name, value in elements.items():
        if value is None:
            delattr(made, name)
        else:
            setattr(made, name, value)
    return made


def item(**elements: Any) -> Dataset:
    """An item of a sequence."""
    made = Dataset()
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def save(dataset: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a data set as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", SecondaryCaptureImageStorage)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", generate_uid())
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_dicom(path: Path, pixels: NDArray[Any], **elements: Any) -> Path:
    """Write pixels and elements as a file."""
    return save(dataset_of(pixels, **elements), path)


def ramp(dtype: str = "uint16", side: int = 16, top: int = 4095) -> NDArray[Any]:
    """Values from 0 (from −top, where signed) to `top`, all over a square."""
    low = -top if np.dtype(dtype).kind == "i" else 0
    return np.linspace(low, top, side * side).round().astype(dtype).reshape(side, side)
