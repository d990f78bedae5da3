"""What a table calls its images means one file, or none."""

import unicodedata
from pathlib import Path

import pytest

from medforge.client.data.tables.named_files import NamedFiles

FILES = (
    "images_1/ISIC_1.jpg",
    "images_2/ISIC_2.jpg",
    "images_2/1.2.840.7.png",
    "a/x.png",
    "b/x.png",
    "b/y.tif",
    "b/y.png",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (*FILES, "images_1/ISIC_1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / unicodedata.normalize("NFD", "Größe.png")).write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a/x.png", ["a/x.png"]),
        ("a\\x.png", ["a/x.png"]),
        ("./a/x.png", ["a/x.png"]),
        ("ISIC_1", ["images_1/ISIC_1.jpg"]),
        ("ISIC_2.jpg", ["images_2/ISIC_2.jpg"]),
        ("isic_2.JPG", ["images_2/ISIC_2.jpg"]),
        ("1.2.840.7", ["images_2/1.2.840.7.png"]),
        ("/kaggle/input/set/images_2/ISIC_2.jpg", ["images_2/ISIC_2.jpg"]),
        ("C:\\scans\\images_1\\ISIC_1.jpg", ["images_1/ISIC_1.jpg"]),
        ("Größe", ["Größe.png"]),
        ("x", ["a/x.png", "b/x.png"]),
        ("b/y", ["b/y.png", "b/y.tif"]),
        ("c/x.png", []),
        ("ISIC_3", []),
        ("ISIC", []),
        ("", []),
        ("n" * 300, []),
        ("a\0b", []),
    ],
)
def test_paths_names_and_identifiers(root: Path, text: str, found: list[str]) -> None:
    files = NamedFiles(root, (".png", ".jpg", ".tif")).find(text)
    assert [unicodedata.normalize("NFC", path.relative_to(root).as_posix()) for path in files] == found
