"""Every name that a file system can hold works, or is refused in a sentence that a terminal can show."""

import io
import os
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from medforge.client.data.catalogue import check_source, open_task, resolve_source
from medforge.client.data.task import Task
from medforge.errors import InvalidInput
from medforge.files import canonical_json, parse_json, path_text

CLASSES = (b"healthy", b"ill")
ODD = [
    b"caf\xe9",
    "caf\u00e9".encode(),
    "cafe\u0301".encode(),
    b"two\nlines",
    b"red\x1b[31m",
    b"-rf",
    b"--help",
    b" lead",
    b"trail ",
    b"a,b=c",
    b"window=1,2",
    b"~nobody",
    b"$HOME",
    b"%s",
    b"[bold]",
    b"quote\"'`",
    b"back\\slash",
    b"\\udce9",
    b"\xe9",
    b"\xed\xa0\x80",
    b"\xff\xfe",
    b"tab\there",
    b"\x7f",
    b"\x85",
    "\u0085\u2028".encode(),
    "right \u202e to left".encode(),
    "\u200fmarked".encode(),
    "\U0001fa7a".encode(),
    "\u0442\u043a\u0430\u043d\u044c".encode(),
    b"x" * 251,
    b"con",
    b"null",
]


def name_bytes(longest: int) -> st.SearchStrategy[bytes]:
    """Names as bytes: odd ones, any text, any bytes."""
    either = st.one_of(st.sampled_from(ODD), st.binary(max_size=20), st.text(max_size=12).map(_encoded))
    return either.map(lambda name: name.translate(None, b"/\0")[:longest]).filter(lambda name: name.strip(b".") != b"")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def pictures() -> Iterator[bytes]:
    random = np.random.default_rng(0)
    while True:
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(buffer, "PNG")
        yield buffer.getvalue()


def lay_out(root: bytes, classes: tuple[bytes, ...], files: tuple[bytes, ...]) -> None:
    images = pictures()
    for part in (b"train", b"test"):
        for name in classes:
            folder = Path(os.fsdecode(b"/".join([root, part, name])))
            folder.mkdir(parents=True)
            for file in files:
                (folder / os.fsdecode(file + b".png")).write_bytes(next(images))


def opened(root: bytes, place: Path) -> Task | None:
    """Open a folder; None where it is refused, in words that are checked."""
    source = f"folder:{os.fsdecode(root)}"
    try:
        check_source(source)
        task = open_task(resolve_source(source), 4, cache=place / "cache", budget=0)
    except InvalidInput as error:
        said = str(error)
        assert "; " in said
        assert said.isprintable() or all(
            unicodedata.category(c) in ("Cf", "Co", "Cn", "Zs") for c in said if not c.isprintable()
        )
        return None
    for part in task.splits.values():
        part.images.prepare()
    assert parse_json(canonical_json([task.own_names, task.texts])) == [list(task.own_names), list(task.texts)]
    return task


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("names")
    yield folder
    shutil.rmtree(os.fsencode(folder))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.sets(name_bytes(251), min_size=4, max_size=6))
@example(files={*ODD})
@example(files={b"\xe9", b"\\udce9", b"a", b"b"})
def test_files_of_any_names_are_images(place: Path, files: set[bytes]) -> None:
    root = os.fsencode(place) + b"/set"
    shutil.rmtree(root, ignore_errors=True)
    lay_out(root, CLASSES, tuple(files))
    task = opened(root, place)
    kept = {file for file in files if not file.startswith(b"._")}
    if len({path_text(os.fsdecode(file)) for file in kept}) < len(kept):
        assert task is None
        return
    if len(kept) >= 4:
        assert task is not None
        names = [name for part in task.splits.values() for name in part.images.names]
        assert len(set(names)) == len(names) == 4 * len(kept)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(classes=st.sets(name_bytes(255), min_size=2, max_size=3))
@example(classes={b"\xe9", b"ill"})
@example(classes={"caf\u00e9".encode(), "cafe\u0301".encode()})
@example(classes={b"two\nlines", b"ill"})
@example(classes={"right \u202e to left".encode(), b"ill"})
@example(classes={"\u200fill".encode(), b"ill"})
def test_class_folders_of_any_names_are_classes_or_refused(place: Path, classes: set[bytes]) -> None:
    root = os.fsencode(place) + b"/set"
    shutil.rmtree(root, ignore_errors=True)
    lay_out(root, tuple(classes), (b"1", b"2", b"3"))
    task = opened(root, place)
    if task is not None:
        for text in (*task.own_names, *task.texts):
            assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text)


@pytest.mark.parametrize("name", [b"healthy", "caf\u00e9".encode(), b"a b"])
def test_plain_words_are_classes(place: Path, name: bytes) -> None:
    lay_out(os.fsencode(place) + b"/set", (name, b"ill"), (b"1", b"2", b"3"))
    assert opened(os.fsencode(place) + b"/set", place) is not None


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=name_bytes(255))
def test_a_root_of_any_name_is_opened_or_refused(place: Path, name: bytes) -> None:
    root = os.fsencode(place) + b"/" + name
    shutil.rmtree(root, ignore_errors=True)
    lay_out(root, CLASSES, (b"1", b"2", b"3"))
    task = opened(root, place)
    shutil.rmtree(root)
    assert (task is None) == (path_text(os.fsdecode(root)) != os.fsdecode(root))


def test_a_name_in_another_encoding_is_told_by_its_bytes(place: Path) -> None:
    root = os.fsencode(place) + b"/set"
    lay_out(root, (b"caf\xe9", b"ill"), (b"1", b"2", b"3"))
    with pytest.raises(InvalidInput, match="holds the byte E9 of another encoding than UTF-8.*; rename its folder"):
        open_task(f"folder:{os.fsdecode(root)}", 4)
    with pytest.raises(InvalidInput, match="is not UTF-8; rename the file or folder"):
        open_task(f"folder:{os.fsdecode(root)}/caf\udce9", 4)
    with pytest.raises(InvalidInput, match="the text .* is not UTF-8; rename the file or folder that it comes from"):
        canonical_json({"path": "caf\udce9"})


@pytest.mark.parametrize("content", [b"ill: \x1b[31mill\nhealthy: sound\n", "ill: ill\u202e\nhealthy: sound".encode()])
def test_prompts_that_a_terminal_would_obey_are_refused(place: Path, content: bytes) -> None:
    root = os.fsencode(place) + b"/set"
    lay_out(root, CLASSES, (b"1", b"2", b"3"))
    (place / "set" / "prompts.txt").write_bytes(content)
    with pytest.raises(InvalidInput, match="holds the character U.*which cannot be shown"):
        open_task(f"folder:{os.fsdecode(root)}", 4)
