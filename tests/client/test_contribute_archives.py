"""A centre's whole way with DICOM files and with slides, and nothing of a header in all that it writes and says."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from pydicom.pixels import pixel_array

from medforge.branch import Branch
from tests.client.test_cli import options
from tests.dicoms import FILES
from tests.programs import Program
from tests.slide_files import write_slide

COLOUR = ("RGB", "YBR", "PALETTE")
SETTINGS = options(train__epochs=1, distill__steps=2)


def contributed(source: str, place: Path, base: str) -> bytes:
    """Run the real command; return all that it wrote and said, names of files too."""
    command = ["contribute", source, "--no-push", "--workspace", str(place / "work"), "--base", base, "--threads", "1"]
    # pydicom's files hold one picture in many codings under two patients, and the slide is one: both leak, truly
    program = Program([*command, "--contributor", "centre", "--allow-leaks", *SETTINGS], place / "log")
    # so few images, of so few patients, are over the audit's limits, which is said and ends with 1
    assert program.wait(200) in (0, 1), program.said()
    assert "committed: branch" in program.said()
    files = [path for path in (place / "work").rglob("*") if path.is_file()]
    said = [(place / "log").read_bytes(), *(str(path.relative_to(place)).encode() for path in files)]
    return b"\n".join([*said, *(path.read_bytes() for path in files)])


def personal(path: Path) -> Iterator[str]:
    """Every text of a header that could tell whose it is, also in sequences; words of the standard are none."""
    header = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    for element in header.iterall():
        if element.VR not in ("PN", "LO", "SH", "UI", "DA", "DT", "TM", "LT", "ST", "AE") or element.tag.group == 2:
            continue
        values = element.value if element.VM > 1 else [element.value]
        for value in map(str, values):
            # "patient" stands in one header, and is our own word for how a split was made
            if not value.startswith("1.2.840.10008.") and len(value) >= 5 and value != "patient":
                yield value


def pydicom_tree(root: Path) -> tuple[str, list[str]]:
    """Pydicom's own files as they lie there, and a table by SOP instance; what nobody can read has no row."""
    shutil.copytree(FILES / "test_files", root / "files")
    rows = ["SOPInstanceUID,label"]
    secrets: set[str] = set()
    for path in sorted((root / "files").rglob("*")):
        if not path.is_file() or path.suffix in (".txt", ".json", ".icc", ".gz", ".dump"):
            continue
        secrets.update(personal(path))
        header = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        try:
            pixel_array(path)
        except Exception:
            continue
        if "Dose" in header.SOPClassUID.name or "Segment" in header.SOPClassUID.name:
            continue
        colour = header.PhotometricInterpretation.startswith(COLOUR)
        rows.append(f"{header.SOPInstanceUID},{'colour' if colour else 'grey'} picture")
    (root / "labels.csv").write_text("\n".join(dict.fromkeys(rows)))
    return f"dicom:{root / 'files'},labels={root / 'labels.csv'},window=header|auto,frames=middle", sorted(secrets)


def test_a_branch_of_pydicoms_files_holds_nothing_of_a_header(tmp_path: Path, tiny_spec: str) -> None:
    source, secrets = pydicom_tree(tmp_path / "archive")
    assert len(secrets) > 150
    written = contributed(source, tmp_path, tiny_spec)
    branch = Branch.load(tmp_path / "work" / "branch")
    assert branch.manifest.training_images > 30
    assert b"colour picture" in written
    # a value is found as a word of its own: short ones are parts of numbers everywhere
    found = [one for one in secrets if re.search(rb"(?<![\w.])" + re.escape(one.encode()) + rb"(?![\w.])", written)]
    assert found == []


def test_a_branch_of_the_real_slide_scored_by_slide(shared_data: Path, tmp_path: Path, tiny_spec: str) -> None:
    """Crops of the one real slide stand for slides of patients, one class turned to grey."""
    whole = tifffile.imread(shared_data / "layouts" / "cmu-1-small-region.svs")
    rows = ["file,patient,diagnosis"]
    for patient in range(8):
        crop = np.ascontiguousarray(whole[1000 + 64 * patient :, 900:][:700, :700])
        if patient % 2:
            crop = np.ascontiguousarray(crop[..., ::-1])
        write_slide(tmp_path / "slides" / f"Muster-{patient}.tif", crop, mpp=0.499)
        rows.append(f"Muster-{patient}.tif,Erika Muster {patient},{('other', 'stained')[patient % 2]}")
    shutil.copyfile(shared_data / "layouts" / "cmu-1-small-region.svs", tmp_path / "slides" / "Muster-9.svs")
    rows.append("Muster-9.svs,Erika Muster 9,other")
    (tmp_path / "slides" / "labels.csv").write_text("\n".join(rows))
    written = contributed(
        f"slides:{tmp_path / 'slides'},labels=labels.csv,mpp=0.5,tile=128,tiles=8", tmp_path, tiny_spec
    )
    assert Branch.load(tmp_path / "work" / "branch").manifest.training_images >= 24
    assert b"Muster" not in written


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_truncated.dcm", "JPGExtended.dcm"])
def test_a_refusal_says_nothing_of_a_header(tmp_path: Path, tiny_spec: str, name: str) -> None:
    header = pydicom.dcmread(FILES / "test_files" / name, stop_before_pixels=True)
    for part in ("a", "b"):
        folder = tmp_path / "set" / part / str(header.PatientID) / str(header.StudyInstanceUID)
        folder.mkdir(parents=True)
        shutil.copyfile(FILES / "test_files" / name, folder / f"{header.SOPInstanceUID}.dcm")
    program = Program(
        ["train", f"dicom:{tmp_path / 'set'}", "--base", tiny_spec, "--workspace", tmp_path / "work"], tmp_path / "log"
    )
    assert program.wait() == 2
    said = (tmp_path / "log").read_text()
    assert re.search(r"/set/a/\*/\*/\*.* \(line 1 of: find ", said), said
    for secret in personal(FILES / "test_files" / name):
        assert secret not in said
