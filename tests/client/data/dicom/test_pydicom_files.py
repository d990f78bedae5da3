"""Every file that pydicom is tested with decodes right or is refused in our own words."""

import re
from pathlib import Path

import numpy as np
import pytest

from docs.generate.dicom_files import FILES, judged
from medforge.client.data.dicom.content import is_dicom
from medforge.client.data.dicom.frames import read_frames
from medforge.client.data.dicom.header import read_header
from medforge.client.data.dicom.library import has_gpl_codec
from medforge.client.data.dicom.reading import parse_dicom_window
from medforge.errors import InvalidInput
from tests.client.data.dicom.reference import expected

WINDOW = parse_dicom_window("header|auto")


def spelt(path: Path) -> str:
    return path.relative_to(FILES).as_posix()


@pytest.mark.parametrize("path", [path for path in sorted(FILES.rglob("*")) if path.is_file()], ids=spelt)
def test_a_file_decodes_as_pydicom_does_or_is_refused(path: Path) -> None:
    if not is_dicom(path):
        assert (
            path.suffix in (".txt", ".json", ".md", ".py", ".pyc", ".icc", ".dump", ".gz", "") or "no_meta" in path.name
        )
        return
    header = read_header(path, WINDOW)
    try:
        references = expected(path)
    except (AttributeError, RuntimeError, ValueError, NotImplementedError):
        check_refused(path, header.frames)
        return
    if header.kind not in ("picture", "segmentation"):
        return
    frames = list(read_frames(path, range(header.frames), WINDOW))
    assert len(frames) == len(references) == header.frames
    for frame, reference in zip(frames, references, strict=True):
        assert np.asarray(frame).shape == reference.shape
        assert np.abs(np.asarray(frame) - reference).max() <= 1


def check_refused(path: Path, frames: int) -> None:
    with pytest.raises(InvalidInput) as error:
        list(read_frames(path, range(frames), WINDOW))
    assert re.fullmatch(r"[a-z].+; [a-z].*[^.]", str(error.value))
    assert "Unable to decode" not in str(error.value)


def test_most_of_the_pictures_decode() -> None:
    said = [row.said for row in judged()]
    assert sum(one.startswith("decoded") for one in said) == 93 + 2 * has_gpl_codec()
    assert sum("GPL" in one for one in said) == 3 * (not has_gpl_codec())
