"""DICOM trees: labels by every identifier, patients together, windows, and nothing of a header anywhere."""

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID, generate_uid

from medforge.client.data.catalogue import check_source, open_task
from medforge.client.data.inspection.inspect import inspect
from medforge.client.data.pixels.glance import Glancing
from medforge.client.data.problems import SourceProblems
from medforge.client.data.task import Task
from medforge.errors import InvalidInput
from tests.dicoms import FILES, dataset_of, item, pydicom_file, save, write_dicom

PATIENTS = 12
SIDE = 16


def lay_out(root: Path, write_image: object = None) -> str:
    """Two images of each of twelve patients in an archive's tree, every other patient ill, and a table by patient."""
    random = np.random.default_rng(0)
    lines = ["PatientID;Finding"]
    for patient in range(PATIENTS):
        identity = {
            "PatientID": f"HOSP-{7000 + patient}",
            "PatientName": f"Smith^Ann{patient}",
            "StudyInstanceUID": generate_uid(entropy_srcs=[f"st{patient}"]),
        }
        for place in range(2):
            pixels = random.normal(600 + 1500 * (patient % 2), 200, (20, 24)).clip(0, 4095).astype("uint16")
            unique = {
                name: generate_uid(entropy_srcs=[name, str(patient), str(place)])
                for name in ("SOPInstanceUID", "SeriesInstanceUID")
            }
            path = root / "archive" / f"Smith_Ann{patient}" / identity["StudyInstanceUID"] / f"IM{place}"
            write_dicom(path, pixels, WindowCenter=1300, WindowWidth=2600, StudyDate="20260131", **identity, **unique)
        lines.append(f"HOSP-{7000 + patient};{'ill' if patient % 2 else 'healthy'}")
    (root / "findings.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    return f"{root / 'archive'},labels={root / 'findings.csv'}"


@pytest.fixture
def source(tmp_path: Path) -> str:
    return f"dicom:{lay_out(tmp_path)}"


def refusal(source: str) -> str:
    with pytest.raises(InvalidInput) as error:
        open_task(source, SIDE)
    return str(error.value)


def shades(task: Task) -> dict[str, float]:
    """The mean of each image by its label."""
    images = [
        (int(label), float(image.float().mean()))
        for part in task.splits.values()
        for label, image in zip(part.labels, part.images[:], strict=True)
    ]
    return {
        task.own_names[label]: float(np.mean([mean for other, mean in images if other == label])) for label in range(2)
    }


def test_labels_windows_and_patients(source: str) -> None:
    task = open_task(source, SIDE)
    assert (task.prompts, task.split, task.name) == (("healthy", "ill"), "patient", "archive")
    assert sum(map(len, task.splits.values())) == 24
    assert shades(task)["healthy"] == pytest.approx(255 * 600 / 2600, abs=4)
    assert shades(task)["ill"] == pytest.approx(255 * 2100 / 2600, abs=4)
    assert shades(open_task(f"{source},window=2100,400", SIDE))["healthy"] < 2
    assert shades(open_task(f"{source},window=full", SIDE))["ill"] < 10  # of 65535


@pytest.mark.parametrize("level", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "path"])
@pytest.mark.parametrize("called", ["as it is", "otherwise"])
def test_a_table_by_any_identifier_gives_the_same(source: str, tmp_path: Path, level: str, called: str) -> None:
    lines = {}
    for path in sorted((tmp_path / "archive").rglob("IM*")):
        header = pydicom.dcmread(path)
        key = path.relative_to(tmp_path / "archive").as_posix() if level == "path" else str(header[level].value)
        lines[key] = f"x,{key},{'ill' if int(header.PatientID[-1:]) % 2 else 'healthy'}"
    name = level if called == "as it is" else "which"
    (tmp_path / "other.csv").write_text("\n".join([f"remark,{name},label", *lines.values()]))
    first = open_task(source, SIDE)
    other = open_task(f"dicom:{tmp_path / 'archive'},labels={tmp_path / 'other.csv'}", SIDE)
    for part in ("train", "validation", "test"):
        assert first.splits[part].images.names == other.splits[part].images.names
        assert first.splits[part].labels.tolist() == other.splits[part].labels.tolist()


def test_names_and_groups_are_pseudonyms_that_do_not_depend_on_the_place(source: str, tmp_path: Path) -> None:
    task = open_task(source, SIDE)
    shutil.move(tmp_path / "archive", tmp_path / "elsewhere")
    moved = open_task(source.replace("archive", "elsewhere"), SIDE)
    for one, other in zip(task.splits.values(), moved.splits.values(), strict=True):
        assert one.groups == other.groups
        assert one.images.names == other.images.names
    said = repr([(part.groups, part.images.names) for part in task.splits.values()])
    for secret in ("HOSP", "Smith", "2026", "IM0", "1.2"):
        assert secret not in said
    # another data set gives the same patients other pseudonyms, so that nobody can try numbers out
    write_dicom(tmp_path / "elsewhere" / "more" / "IM9", np.zeros((9, 9), "uint8"), PatientID="HOSP-7000")
    more = open_task(source.replace("archive", "elsewhere"), SIDE)
    assert not set(task.train.groups or ()) & set(more.train.groups or ())


def test_a_sentence_hides_what_the_header_says(source: str, tmp_path: Path) -> None:
    bad = next((tmp_path / "archive").rglob("IM1"))
    header = pydicom.dcmread(bad)
    header.PixelData = header.PixelData[:-10]
    save(header, bad)
    with pytest.raises(SourceProblems) as error:
        check_source(source)
    (problem,) = error.value.problems
    assert "is cut off" in problem.what
    assert "/*/*/IM1 (line" in problem.place
    for secret in (header.PatientID, "Smith", header.StudyInstanceUID, header.SOPInstanceUID):
        assert secret not in str(error.value)
    # the line that is named is that file's
    number = int(problem.place.split("(line ")[1].split()[0])
    listed = sorted(str(path).encode() for path in (tmp_path / "archive").rglob("*") if path.is_file())
    assert listed[number - 1] == str(bad).encode()


def test_all_problems_come_at_once_and_windows_are_never_guessed(tmp_path: Path) -> None:
    for place in range(4):
        write_dicom(
            tmp_path / "set" / ("ab"[place % 2]) / f"{place}.dcm",
            np.full((4, 4), 9, "uint16"),
            PatientID="",
            SOPInstanceUID=generate_uid(),
        )
    (tmp_path / "set" / "a" / "broken.dcm").write_bytes(b"nothing")
    with pytest.raises(SourceProblems) as error:
        check_source(f"dicom:{tmp_path / 'set'}")
    assert len(error.value.problems) == 5
    assert sum("no such window" in one.what and "window=auto" in one.remedy for one in error.value.problems) == 4
    assert "window=x:y is no window" in refusal(f"dicom:{tmp_path / 'set'},window=12;3").replace("12;3", "x:y")


def test_class_folders_and_split_folders(tmp_path: Path) -> None:
    for part in ("Training", "Testing"):
        for place in range(8):
            write_dicom(
                tmp_path / "set" / part / ("dark", "light")[place % 2] / f"{place}.IMA",
                np.full((6, 6), 200 * (place % 2), "uint8") + place,
                PatientID=f"{part}{place}",
            )
    task = open_task(f"dicom:{tmp_path / 'set'}", SIDE)
    assert (task.prompts, task.split, len(task.test)) == (("dark", "light"), "published", 8)
    write_dicom(tmp_path / "set" / "Testing" / "dark" / "x.dcm", np.zeros((6, 6), "uint8"), PatientID="Training0")
    assert "of one group in two splits" in refusal(f"dicom:{tmp_path / 'set'}")


def test_folders_of_patients_are_no_classes(tmp_path: Path) -> None:
    lay_out(tmp_path)
    sentence = refusal(f"dicom:{tmp_path / 'archive'}")
    assert "called after patients" in sentence
    assert "Smith" not in sentence


def test_frames_burned_in_text_and_what_is_no_picture(tmp_path: Path) -> None:
    for place in range(8):
        frames = np.stack([np.full((5, 7), 10 * frame + place, "uint8") for frame in range(6)])
        write_dicom(
            tmp_path / "set" / f"{'ab'[place % 2]}" / f"{place}", frames, PatientID=str(place), BurnedInAnnotation="YES"
        )
    shutil.copy(pydicom_file("reportsi.dcm"), tmp_path / "set" / "a")
    source = f"dicom:{tmp_path / 'set'}"
    assert "text is burned into its pixels" in refusal(source)
    counts = {"all": 48, "middle": 8, "first": 8, "2": 16}
    for asked, count in counts.items():
        task = open_task(f"{source},burned_in=allow,frames={asked}", SIDE)
        assert sum(map(len, task.splits.values())) == count
        assert "1 Basic Text SR" in " ".join(task.notes)
    first = open_task(f"{source},burned_in=allow,frames=first", SIDE)
    assert max(int(part.images[:].max()) for part in first.splits.values()) < 10


def test_a_dicomdir_names_the_files(tmp_path: Path) -> None:
    shutil.copytree(FILES / "test_files" / "dicomdirtests", tmp_path / "disc")
    rows = ["PatientID,label", "77654033,one", "98890234,two"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    told = f"labels={tmp_path / 'labels.csv'},group=none"
    task = open_task(f"dicom:{tmp_path / 'disc' / 'DICOMDIR'},{told}", SIDE)
    assert sum(map(len, task.splits.values())) == 31
    assert "group=none" in told
    (tmp_path / "disc" / "77654033" / "CR1" / "6154").unlink()
    assert "names 1 files that are not there" in refusal(f"dicom:{tmp_path / 'disc' / 'DICOMDIR'},{told}")


def test_a_mask_is_used_only_where_it_is_meant_itself(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    rows = ["PatientID,label"]
    for place in range(8):
        write_dicom(tmp_path / "set" / f"{place}.dcm", random.integers(0, 255, (8, 8), "uint8"), PatientID=f"P{place}x")
        rows.append(f"P{place}x,{'ab'[place % 2]}")
        mask = dataset_of(
            np.zeros((8, 8), "uint8"), PatientID=f"P{place}x", SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.66.4")
        )
        save(mask, tmp_path / "set" / f"{place}-mask.dcm")
    (tmp_path / "set" / "labels.csv").write_text("\n".join(rows))
    task = open_task(f"dicom:{tmp_path / 'set'},labels=labels.csv", SIDE)
    assert sum(map(len, task.splits.values())) == 8
    assert "8 of 16 images have no row" in " ".join(task.notes)


def test_rows_that_mean_nothing_and_rows_that_quarrel(source: str, tmp_path: Path) -> None:
    table = tmp_path / "findings.csv"
    table.write_text(table.read_text() + "\nHOSP-9999;ill\nHOSP-7000;ill\n")
    with pytest.raises(SourceProblems) as error:
        check_source(source)
    said = [one.sentence() for one in error.value.problems]
    assert len(said) == 3  # both images of the patient
    assert "1 of 14 rows that mean no image" in said[0]
    assert "says otherwise of the same image than line 2" in said[1]
    assert not any("HOSP" in one for one in said)


def test_a_frame_can_be_looked_at(source: str) -> None:
    bank = open_task(source, SIDE).train.images.bank
    assert isinstance(bank.source, Glancing)
    look = bank.source.glance(0, 8)
    assert (look.width, look.height, look.mode, look.small.shape) == (24, 20, "L", (8, 8, 3))
    places = range(len(bank.names))
    assert len({bank.source.digest(place) for place in places}) == len(places)


def test_an_enhanced_file_has_a_window_for_each_frame(tmp_path: Path) -> None:
    from medforge.client.data.dicom.frames import read_frames
    from medforge.client.data.dicom.reading import DicomReading

    frames = np.full((2, 4, 4), 100, "uint16")
    groups = [
        item(
            FrameVOILUTSequence=[item(WindowCenter=centre, WindowWidth=100)],
            PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=0)],
        )
        for centre, slope in ((100, 1), (200, 2))
    ]
    path = write_dicom(tmp_path / "x", frames, PerFrameFunctionalGroupsSequence=groups)
    values = [int(np.asarray(picture)[0, 0]) for picture in read_frames(path, [0, 1], DicomReading())]
    assert values == [129, 129]


def test_copies_are_named_so_that_they_are_found(source: str, tmp_path: Path) -> None:
    one, other = (next((tmp_path / "archive" / f"Smith_Ann{patient}").rglob("IM0")) for patient in (0, 1))
    header = pydicom.dcmread(other)
    header.PixelData = pydicom.dcmread(one).PixelData
    save(header, other)
    places = [found.place for found in inspect(open_task(source, SIDE)).problems]
    listed = sorted(str(path) for path in (tmp_path / "archive").rglob("*") if path.is_file())
    numbers = {listed.index(str(path)) + 1 for path in (one, other)}
    assert any(all(f"(line {number} of: find" in place for number in numbers) for place in places)
    assert not any("Smith" in place for place in places)
