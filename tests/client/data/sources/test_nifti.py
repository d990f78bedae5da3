"""Slices of NIfTI volumes: classes of folders or a table, volumes and patients in one split."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medforge.client.data.catalogue import check_source, open_task
from medforge.client.data.problems import SourceProblems
from medforge.errors import InvalidInput

nib = pytest.importorskip("nibabel", reason="it comes with the extra nifti")


def write_volume(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 1000, (8, 9, 10)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.diag([-1.0, -1.0, 2.0, 1.0])), path)
    return path


def lay_out(root: Path, _write: Callable[..., Path]) -> str:
    """Class folders of eight volumes, three slices each."""
    for seed in range(16):
        write_volume(root / "scans" / ("lesion" if seed % 2 else "sound") / f"case {seed}.nii.gz", seed)
    return f"{root / 'scans'},window=500,1000,slices=3"


def test_slices_of_a_volume_stay_together(tmp_path: Path) -> None:
    source = f"nifti:{lay_out(tmp_path, write_volume)}"
    again = write_volume(tmp_path / "scans" / "sound" / "copy.nii.gz", 98)
    again.write_bytes((tmp_path / "scans" / "sound" / "case 2.nii.gz").read_bytes())
    task = open_task(source, 16)
    assert (task.split, task.prompts, task.folders) == ("grouped", ("lesion", "sound"), ("lesion", "sound"))
    assert sum(map(len, task.splits.values())) == 17 * 3
    groups = [set(split.groups or ()) for split in task.splits.values()]
    assert len(set.union(*groups)) == sum(map(len, groups)) == 16
    names = [name for split in task.splits.values() for name in split.images.names]
    assert sorted(name for name in names if "case 0." in name) == [
        f"sound/case 0.nii.gz#axial-00{place}" for place in (1, 5, 8)
    ]


def test_a_table_says_class_patient_and_split(tmp_path: Path) -> None:
    rows = ["scan;diagnosis;patient id;split"]
    for seed in range(12):
        write_volume(tmp_path / "scans" / f"s{seed:02d}.nii.gz", seed)
        part = "test" if seed >= 8 else "val" if seed >= 6 else "train"
        rows.append(f"s{seed:02d};{('glioma', 'none')[seed % 2]};P{seed // 2};{part}")
    (tmp_path / "scans" / "labels.csv").write_text("\n".join(rows))
    source = f"nifti:{tmp_path / 'scans'},labels=labels.csv,image=scan,window=auto,axis=coronal,slices=2"
    check_source(source)
    task = open_task(source, 16)
    assert [len(split) for split in task.splits.values()] == [12, 4, 8]
    assert set(task.test.groups or ()) == {"P4", "P5"}
    assert task.test.images[:].float().std() > 10


def test_split_folders_are_kept(tmp_path: Path) -> None:
    for seed in range(12):
        part = ("train", "train", "Testing")[seed // 4]
        write_volume(tmp_path / part / ("lesion" if seed % 2 else "sound") / f"{seed}.nii", seed)
    task = open_task(f"nifti:{tmp_path},window=auto", 16)
    assert (task.split, len(task.test)) == ("published", 4)


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    source = f"nifti:{lay_out(tmp_path, write_volume)}"
    (tmp_path / "scans" / "sound" / "case 0.nii.gz").write_bytes(b"")
    (tmp_path / "scans" / "lesion" / "case 1.nii.gz").write_bytes(b"hello")
    for opener in (check_source, lambda asked: open_task(asked, 16)):
        with pytest.raises(SourceProblems, match="1 more problem") as raised:
            opener(source)
        assert len(raised.value.problems) == 2
    (tmp_path / "scans" / "notes").mkdir()
    (tmp_path / "scans" / "notes" / "read me.txt").touch()
    with pytest.raises(InvalidInput, match="read me.txt is no NIfTI volume; move or remove it"):
        check_source(source)
    (tmp_path / "scans" / "notes" / "read me.txt").rename(tmp_path / "scans" / "notes" / "scan.hdr")
    with pytest.raises(InvalidInput, match="scan.hdr is half of a pair of files; save both as one .nii"):
        check_source(source)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("axis=oblique", "option axis=oblique is unknown; choose sagittal or coronal or axial"),
        ("slices=0", "slices=0 must be a whole number of at least 1"),
        ("window=wide", "nifti: window=wide is no window; write window=CENTRE,WIDTH"),
        ("labels=none.csv", "none.csv"),
    ],
)
def test_options_that_mean_nothing(tmp_path: Path, option: str, words: str) -> None:
    place = lay_out(tmp_path, write_volume).split(",")[0]
    for opener in (check_source, lambda asked: open_task(asked, 16)):
        with pytest.raises(InvalidInput, match=words):
            opener(f"nifti:{place},{option}")
