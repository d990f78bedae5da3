"""NIH ChestX-ray14: the published table, lists and folders; several findings an image, patients apart."""

from collections.abc import Callable
from pathlib import Path

import pytest

from medforge.client.data.catalogue import open_task
from medforge.client.data.published.chest_words import FINDINGS
from medforge.client.data.task import Task
from medforge.errors import InvalidInput

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)
NAMES = list(FINDINGS)
PATIENTS = 60
TRAINING = 42


def labels_of(patient: int, visit: int) -> str:
    """Every finding comes with several patients; some images have two findings, some none."""
    if visit == 2:
        return "No Finding"
    first, second = NAMES[patient % 14], NAMES[(patient * 5 + 3) % 14]
    return first if visit == 0 or first == second else f"{first}|{second}"


ROWS = [
    (f"{patient:08d}_{visit:03d}.png", labels_of(patient, visit), str(patient))
    for patient in range(1, PATIENTS + 1)
    for visit in range(3)
]


def write_table(path: Path, rows: list[tuple[str, str, str]]) -> None:
    lines = [f"{name},{labels},0,{patient},58,M,PA,2682,2749,0.143,0.143," for name, labels, patient in rows]
    path.write_text("\n".join([HEADER, *lines]) + "\n")


def write_lists(root: Path) -> None:
    parts: dict[str, list[str]] = {"train_val_list.txt": [], "test_list.txt": []}
    for name, _, patient in ROWS:
        parts["train_val_list.txt" if int(patient) <= TRAINING else "test_list.txt"].append(name)
    for name, listed in parts.items():
        (root / name).write_text("\n".join(listed) + "\n")


def lay_out(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """The folders as the archives unpack them: images_001/images/ …, half of the images in each."""
    write_table(tmp_path / "Data_Entry_2017.csv", ROWS)
    write_lists(tmp_path)
    for seed, (name, _, _) in enumerate(ROWS):
        write_image(tmp_path / f"images_{1 + seed % 2:03d}" / "images" / name, seed)
    (tmp_path / "BBox_List_2017.csv").write_text("Image Index,Finding Label\n")
    return tmp_path


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    return lay_out(tmp_path, write_image)


def check(task: Task) -> None:
    truth = {name: labels for name, labels, _ in ROWS}
    owners = {name: patient for name, _, patient in ROWS}
    patients = []
    for part in task.splits.values():
        for path, row, group in zip(part.images.names, part.labels.tolist(), part.groups or (), strict=True):
            name = Path(path).name
            found = {finding for finding, there in zip(NAMES, row, strict=True) if there}
            assert found == (set() if truth[name] == "No Finding" else set(truth[name].split("|")))
            assert group == owners[name]
        patients.append(set(part.groups or ()))
    assert len(set.union(*patients)) == sum(map(len, patients)) == PATIENTS


def test_the_published_lists_decide(root: Path) -> None:
    task = open_task(f"nih-cxr14:{root}", 16)
    check(task)
    assert (task.split, task.score_by, task.flip, task.multi_label) == ("published", "patch", False, True)
    assert task.prompts[:3] == ("positive atelectasis", "positive cardiomegaly", "positive pleural effusion")
    assert task.negatives == tuple(prompt.replace("positive", "negative") for prompt in task.prompts)
    assert {int(patient) for patient in task.test.groups or ()} == set(range(TRAINING + 1, PATIENTS + 1))
    assert len(set(task.validation.groups or ())) >= round(0.15 * TRAINING)
    assert task.train.images[:].float().std() > 10


def test_another_seed_holds_out_other_patients_but_never_of_the_test(root: Path) -> None:
    one, two = (open_task(f"nih-cxr14:{root}", 16, seed) for seed in (0, 1))
    assert set(one.validation.groups or ()) != set(two.validation.groups or ())
    assert one.test.images.names == two.test.images.names


def test_without_lists_patients_are_divided(root: Path) -> None:
    for name in ("train_val_list.txt", "test_list.txt"):
        (root / name).unlink()
    task = open_task(f"nih-cxr14:{root}", 16)
    check(task)
    assert task.split == "patient"
    assert len(set(task.test.groups or ())) >= round(0.25 * PATIENTS)


def test_images_in_one_folder_and_the_newer_table(root: Path) -> None:
    (root / "images").mkdir()
    for path in [*root.glob("images_00*/images/*.png")]:
        path.rename(root / "images" / path.name)
    newer = [(name, "Hernia" if name == ROWS[0][0] else labels, patient) for name, labels, patient in ROWS]
    write_table(root / "Data_Entry_2017_v2020.csv", newer)
    task = open_task(f"nih-cxr14:{root}", 16)
    rows = {
        path: row
        for part in task.splits.values()
        for path, row in zip(part.images.names, part.labels.tolist(), strict=True)
    }
    assert rows[f"images/{ROWS[0][0]}"][NAMES.index("Hernia")] == 1


def test_some_of_the_findings(root: Path) -> None:
    task = open_task(f"nih-cxr14:{root},labels=Mass|Effusion", 16)
    assert task.prompts == ("positive pleural effusion", "positive mass")
    assert sum(map(len, task.splits.values())) == len(ROWS)
    together = sum(int(part.labels[:, 0].sum()) for part in task.splits.values())
    assert together == sum("Effusion" in labels.split("|") for _, labels, _ in ROWS)
    assert open_task(f"nih-cxr14:{root},labels=Hernia", 16).train.labels.shape[1] == 1
    with pytest.raises(InvalidInput, match=r"there is no finding 'Efusion'; choose among Atelectasis\|Cardiomegaly\|"):
        open_task(f"nih-cxr14:{root},labels=Efusion", 16)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("Patient ID", "Patient", r"Data_Entry_2017\.csv has no column 'Patient ID'; it must have Image Index, "),
        (",No Finding,", ",Nothing,", r"line 4: the label 'Nothing' is none of Atelectasis, .*; mend that line"),
        (",No Finding,", ",No Finding|Mass,", "line 4: the label 'No Finding' stands alone; mend that line"),
        (",No Finding,", ",,", "line 4: the label '' is none of"),
        ("00000001_001.png,", "00000001_000.png,", r"line 3: 00000001_000\.png was there before; keep one line for"),
        (",0,1,58", ",0,,58", "line 2 lacks 'Patient ID'; mend that line"),
        ("00000001_000.png,", ",", "line 2 lacks 'Image Index'; mend that line"),
    ],
)
def test_a_table_that_is_not_as_published_is_named(root: Path, old: str, new: str, sentence: str) -> None:
    table = root / "Data_Entry_2017.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new, 1))
    with pytest.raises(InvalidInput, match=sentence):
        open_task(f"nih-cxr14:{root}", 16)


def test_a_table_that_is_no_text_or_empty_is_named(root: Path) -> None:
    (root / "Data_Entry_2017.csv").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(
        InvalidInput, match=r"Data_Entry_2017\.csv is not the UTF-16-LE that it begins as; save it again"
    ):
        open_task(f"nih-cxr14:{root}", 16)
    write_table(root / "Data_Entry_2017.csv", [])
    with pytest.raises(InvalidInput, match=r"Data_Entry_2017\.csv lists no image; restore it"):
        open_task(f"nih-cxr14:{root}", 16)
    (root / "Data_Entry_2017.csv").unlink()
    with pytest.raises(
        InvalidInput, match=r"holds no Data_Entry_2017_v2020\.csv or .* or sample_labels\.csv; name the"
    ):
        open_task(f"nih-cxr14:{root}", 16)


def test_an_image_listed_and_absent_is_named(root: Path) -> None:
    gone = next(root.glob("images_00*/images/00000002_001.png"))
    gone.unlink()
    with pytest.raises(
        InvalidInput, match=r"1 of 180 images in the split lists are in no .*: 00000002_001\.png; restore them"
    ):
        open_task(f"nih-cxr14:{root}", 16)
    for name in ("train_val_list.txt", "test_list.txt"):
        listed = (root / name).read_text().splitlines()
        (root / name).write_text("\n".join(line for line in listed if line != gone.name))
    task = open_task(f"nih-cxr14:{root}", 16)
    assert sum(map(len, task.splits.values())) == len(ROWS) - 1


def test_a_partial_download_goes_on_if_an_option_says_so(root: Path) -> None:
    gone = sorted(root.glob("images_001/images/*.png"))[::3]
    for path in gone:
        path.unlink()
    with pytest.raises(
        InvalidInput, match=f"{len(gone)} of {len(ROWS)} images in the split lists .* and {len(gone) - 3} "
    ):
        open_task(f"nih-cxr14:{root}", 16)
    task = open_task(f"nih-cxr14:{root},missing=drop", 16)
    check(task)
    assert sum(map(len, task.splits.values())) == len(ROWS) - len(gone)
    assert task.notes[0].startswith(f"{len(gone)} of {len(ROWS)} images are missing and left out: {gone[0].name}, ")


def test_kaggle_s_sample_and_smaller_copies(root: Path, tmp_path: Path) -> None:
    whole = open_task(f"nih-cxr14:{root}", 16)
    for name in ("train_val_list", "test_list"):
        (root / f"{name}.txt").rename(root / f"{name}_NIH.txt")
    small = root / "images-224" / "images-224"
    small.mkdir(parents=True)
    for path in root.glob("images_00*/images/*.png"):
        path.rename(small / f"{path.stem}.jpg")
    copy = open_task(f"nih-cxr14:{root}", 16)
    assert copy.split == "published"
    assert [Path(name).stem for name in copy.test.images.names] == [Path(name).stem for name in whole.test.images.names]
    sample = tmp_path / "kaggle" / "sample"
    sample.mkdir(parents=True)
    (root / "Data_Entry_2017.csv").rename(sample / "sample_labels.csv")
    small.rename(sample / "images")
    task = open_task(f"nih-cxr14:{sample.parent}", 16)
    assert (task.split, sum(map(len, task.splits.values()))) == ("patient", len(ROWS))


def test_lists_that_do_not_fit_are_named(root: Path) -> None:
    test = root / "test_list.txt"
    text = test.read_text()
    test.write_text(text + ROWS[0][0] + "\n")
    with pytest.raises(
        InvalidInput,
        match=r"patient 1 is in train_val_list\.txt \(00000001_002\.png\) and in test_list\.txt \(00000001_000\.png\)",
    ):
        open_task(f"nih-cxr14:{root}", 16)
    test.write_text(text + "00009999_000.png\n")
    with pytest.raises(InvalidInput, match=r"test_list\.txt: 00009999_000\.png is not in the table of labels"):
        open_task(f"nih-cxr14:{root}", 16)
    test.write_text(text + text.splitlines()[0])
    with pytest.raises(InvalidInput, match=r"00000043_000\.png is there twice; list it once"):
        open_task(f"nih-cxr14:{root}", 16)
    test.unlink()
    with pytest.raises(InvalidInput, match=r"train_val_list\.txt is there but test_list\.txt is not; restore it, or"):
        open_task(f"nih-cxr14:{root}", 16)


def test_folders_that_do_not_fit_are_named(root: Path, write_image: Callable[..., Path]) -> None:
    twin = write_image(root / "images_003" / "images" / ROWS[0][0])
    with pytest.raises(InvalidInput, match=r"00000001_000\.png have the same name; remove one of them"):
        open_task(f"nih-cxr14:{root}", 16)
    twin.rename(twin.with_name("notes.docx"))
    with pytest.raises(InvalidInput, match=r"notes\.docx is not an image .*; move or remove it"):
        open_task(f"nih-cxr14:{root}", 16)
    for folder in root.glob("images_*"):
        folder.rename(root / f"archive{folder.name[-1]}")
    with pytest.raises(InvalidInput, match="holds no folder images or images_001; unpack the archives"):
        open_task(f"nih-cxr14:{root}", 16)


def test_a_finding_that_no_training_image_has_is_named(root: Path) -> None:
    table = root / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace("|Hernia", "").replace("Hernia|", "").replace("Hernia", "Mass"))
    with pytest.raises(
        InvalidInput, match="no image of the train split is 'positive hernia', so it cannot be learned; leave"
    ):
        open_task(f"nih-cxr14:{root}", 16)


def test_a_real_copy_opens(shared_data: Path) -> None:
    place = shared_data / "nih-cxr14"
    if not place.is_dir():
        pytest.skip("NIH ChestX-ray14 is not among the real images of this machine")
    task = open_task(f"nih-cxr14:{place}", 32)
    assert len(task.prompts) == 14
