"""Files of classes as people write them, and as no file may be: each gets one sentence."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.forge.class_file import read_classes
from medforge.declared_task import DeclaredTask, TaskClass
from medforge.errors import InvalidInput, MedForgeError
from medforge.files import canonical_json
from medforge.proto.signed_task import SignedTask
from medforge.proto.signing import new_key

CHEST = (TaskClass(key="normal", prompt="normal chest x-ray"), TaskClass(key="p", prompt="chest x-ray, pneumonia"))
TASK = DeclaredTask(name="chest", modality="chest x-ray", classes=CHEST)
SIGNED = SignedTask.issue(new_key(), "a-forge", TASK)


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "classes"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        'key,prompt\nnormal,normal chest x-ray\np,"chest x-ray, pneumonia"\n',
        'Prompt, Key\r\nnormal chest x-ray, normal\r\n"chest x-ray, pneumonia", p\r\n',
        '\ufeffkey,prompt\n\n normal , normal chest x-ray \n,\np,"chest x-ray, pneumonia"',
        "normal: normal chest x-ray\np: chest x-ray, pneumonia\n",
        "\ufeff\nnormal:normal chest x-ray\r\n\r\np : chest x-ray, pneumonia",
        TASK.to_bytes(),
        canonical_json(SIGNED.document()),
    ],
)
def test_every_form_is_read(tmp_path: Path, content: str | bytes) -> None:
    assert read_classes(written(tmp_path, content)) == CHEST


def test_a_prompt_may_hold_a_colon(tmp_path: Path) -> None:
    assert read_classes(written(tmp_path, "n: chest x-ray: normal"))[0].prompt == "chest x-ray: normal"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "names no class; write a CSV with the columns key,prompt, or a line `key: prompt` for each class"),
        ("key,prompt\n", "names no class"),
        ("normal chest x-ray\n", "line 1 of .* has no colon"),
        ("a: one\nb two\n", "line 2 of .* has no colon"),
        ("a: one\n: two\n", "line 2 of .* is not a class \\(its key is empty or too long\\)"),
        ("a: one\nb:\n", "line 2 of .* \\(its prompt is empty or too long\\)"),
        ("a: one\nb: t\two\n", "line 2 of .* \\(its prompt holds a character that cannot be seen\\)"),
        ("key,prompt\na,one,more\n", "line 2 of .* has 3 cells where a key and a prompt are due; put a prompt with a"),
        ("key,prompt\na\n", "line 2 of .* has 1 cells"),
        ('key,prompt\na,"one\n', "is not CSV"),
        ('key,prompt\na,"one"two\n', "line 2 of .* is not CSV"),
        ("key,prompt\na,one\0\n", "line 2 of .*"),
        ("key;prompt\na;one\n", "line 1 of .* has no colon"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"a: \xe9\n", "is not UTF-8 text .*; save it again as plain text"),
        ("{", "is not JSON"),
        ('{"name": "x"}', "is not a declared task"),
        ('{"signature": "x"}', "is not a signed task"),
        (canonical_json(SIGNED.document() | {"modality": "CT"}), "is not signed by the forge's key"),
        ("a: x\n" * 300_000, "more than any list of classes"),
    ],
)
def test_what_is_no_list_of_classes_gets_one_sentence(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    with pytest.raises(MedForgeError, match=sentence) as raised:
        read_classes(written(tmp_path, content))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read the classes at .*; check the path"):
        read_classes(tmp_path / "nothing")
    with pytest.raises(InvalidInput, match="cannot read the classes at .*; check the path"):
        read_classes(tmp_path)


_WORDS = st.sampled_from(
    ["key", "prompt", ",", ":", '"', "\n", "\r", "{", "}", "[", "\\", "\0", "\ufeff", "1e999", " "]
)


@given(st.one_of(st.binary(max_size=200), st.lists(st.one_of(_WORDS, st.text(max_size=5)), max_size=40).map("".join)))
def test_whatever_a_file_holds_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    path = tmp_path_factory.getbasetemp() / "whatever"
    path.write_bytes(data)
    refused = ""
    try:
        classes = read_classes(path)
    except MedForgeError as error:
        refused, classes = str(error), ()
    assert "\n" not in refused
    if not refused:
        again = path.with_suffix(".again")
        again.write_text("key,prompt\n" + "".join(f"{_cell(one.key)},{_cell(one.prompt)}\n" for one in classes))
        assert read_classes(again) == classes


def _cell(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
