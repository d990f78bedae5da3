"""How commands end: sentences, codes, exit codes and their pages."""

import ast
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import medforge
from medforge import errors
from medforge.cli.failures import BUG, INTERRUPTED, USER_MISTAKE, report
from medforge.cli.interrupt import on_interrupt
from medforge.errors import CorruptFile, ForgeUnavailable, InvalidInput, MedForgeError, split_remedy

DOCS = Path(__file__).parents[3] / "docs"
INDEX = DOCS / "reference-exit-codes.md"
FOUND_SOMETHING = 1
OF_NO_KIND = {"invalid-usage", "refused-by-system", "ledger-refuses"}


def kinds() -> list[type[MedForgeError]]:
    """Every kind of failure that any module of the package defines."""
    named, files = {"MedForgeError"}, {}
    for root in map(Path, medforge.__path__):
        for file in root.rglob("*.py"):
            for node in ast.parse(file.read_text()).body:
                if isinstance(node, ast.ClassDef):
                    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                    files[node.name] = (bases, "medforge." + ".".join(file.relative_to(root).with_suffix("").parts))
    while more := {name for name, (bases, _) in files.items() if bases & named} - named:
        named |= more
    return [getattr(importlib.import_module(files[name][1]), name) for name in sorted(named)]


KINDS = kinds()


def test_every_kind_of_failure_has_a_code_of_its_own() -> None:
    assert {InvalidInput, CorruptFile, ForgeUnavailable} <= set(KINDS)
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)
    assert all("code" in vars(kind) for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_its_exit_code_explains_it(kind: type[MedForgeError]) -> None:
    assert f"| `{kind.code}` |" in (DOCS / "exit-codes" / f"{kind.exit_code}.md").read_text()


def test_every_exit_code_has_its_page_and_none_is_missing() -> None:
    ends = {0, FOUND_SOMETHING, USER_MISTAKE, BUG, INTERRUPTED} | {kind.exit_code for kind in KINDS}
    assert {int(page.stem) for page in (DOCS / "exit-codes").glob("*.md")} == ends
    assert {int(code) for code in re.findall(r"\(exit-codes/(\d+)\.md\)", INDEX.read_text())} == ends
    pages = [page.read_text() for page in (DOCS / "exit-codes").glob("*.md")]
    explained = {code for page in pages for code in re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)} - {"code"}
    assert explained == {kind.code for kind in KINDS} | OF_NO_KIND


def test_the_tree_at_the_top_of_the_errors_is_drawn_as_it_is() -> None:
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    ([│ ├└─]*)([A-Z]\w+)", line):
            depth = len(found[1]) // 4
            path = [*path[:depth], found[2]]
            drawn[found[2]] = path[-2] if depth else "Exception"
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in KINDS}


def test_a_sentence_is_split_at_its_last_semicolon() -> None:
    assert split_remedy("a holds 'x; y'; give b") == ("a holds 'x; y'", "give b")
    assert split_remedy("a is wrong") == ("a is wrong", None)


def ended(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "medforge", *words], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "exit_code", "expected"),
    [
        (
            ["status", "--workspace", "nowhere"],
            2,
            {"code": "invalid-input", "error": "here is no workspace in nowhere"},
        ),
        (["status"], 2, {"code": "invalid-input", "remedy": "give --workspace DIR, --kit DIR, or both"}),
        (["audit"], 2, {"code": "invalid-usage", "error": "missing option '--workspace'"}),
        (["log", "--kitt", "x"], 2, {"code": "invalid-usage", "error": "no such option '--kitt'", "remedy": "--kit"}),
        (["predict", "--model", "x"], 2, {"code": "invalid-usage", "remedy": "--help explains its arguments"}),
        (["lok"], 2, {"code": "invalid-usage", "error": "there is no command 'lok'", "remedy": "did you mean 'log'?"}),
        (["simulate", "--method", "med-lego"], 2, {"code": "invalid-usage", "remedy": "give --merge"}),
        (["log", "--at", "127.0.0.1:1"], 3, {"code": "forge-unavailable", "error": "cannot be reached"}),
    ],
)
def test_a_failure_is_one_sentence_and_under_json_one_object(
    words: list[str], exit_code: int, expected: dict[str, str], tmp_path: Path
) -> None:
    plain, as_json = ended(*words), ended(*words, "--json")
    assert plain.returncode == as_json.returncode == exit_code
    assert plain.stdout == as_json.stdout == ""
    *waits, line = plain.stderr.splitlines()
    assert set(waits) <= {"loading libraries …"}  # said on a busy machine
    (document,) = map(json.loads, as_json.stderr.splitlines())
    assert document.keys() == {"error", "remedy", "code"}
    assert document["remedy"]
    assert line == f"medforge: {document['error']}; {document['remedy']}"
    assert all(part in document[name] for name, part in expected.items()), document


def test_only_a_fault_of_the_program_has_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(InvalidInput("x is wrong; give y"), as_json=False) == USER_MISTAKE
    assert capsys.readouterr().err == "medforge: x is wrong; give y\n"
    with pytest.raises(ZeroDivisionError) as fault:
        _ = 1 / 0
    assert report(fault.value, as_json=True) == BUG
    *trace, line = capsys.readouterr().err.splitlines()
    assert trace[0].startswith("Traceback")
    assert json.loads(line)["code"] == "bug"


def test_what_the_system_refuses_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError) as refused:  # noqa: PT011  # the kind of error is the system's
        (tmp_path / "file" / "below").write_text("")
    assert report(refused.value, as_json=False) == USER_MISTAKE
    cause, _, remedy = capsys.readouterr().err.partition("; ")
    assert cause == f"medforge: {tmp_path / 'file' / 'below'} cannot be used (not a directory)"
    assert remedy == "mend that, or give another place\n"
    with pytest.raises(IsADirectoryError) as folder:
        tmp_path.read_text()
    assert report(folder.value, as_json=False) == USER_MISTAKE


def test_the_innermost_block_says_what_is_saved(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        with on_interrupt(lambda: "all is saved; go on"), on_interrupt(lambda: "epoch 3 is saved; run it again"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        interrupted()
    assert report(stopped.value, as_json=False) == INTERRUPTED
    assert capsys.readouterr().err == "medforge: interrupted: epoch 3 is saved; run it again\n"
    # as click hands it on
    abort = click.Abort()
    abort.__cause__ = stopped.value
    report(abort, as_json=True)
    assert json.loads(capsys.readouterr().err) == {
        "error": "interrupted: epoch 3 is saved", "remedy": "run it again", "code": "interrupted",
    }  # fmt: skip
