"""The audit without a network, with files of vulnerabilities that were made up."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from medforge.errors import InvalidInput
from requirements.osv import Database, is_affected
from requirements.pins import ROOT

LOCK = (
    "harmless==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"
    "Made_Up==2.5 ; sys_platform == 'win32' \\\n    --hash=sha256:" + "1" * 64 + "\n"
)


def record(name: str, **more: Any) -> dict[str, Any]:
    affected = {"package": {"ecosystem": "PyPI", "name": name}, **more}
    return {"id": "MADE-UP-1", "summary": "it leaks", "modified": "2026-01-01T00:00:00Z", "affected": [affected]}


def within(*events: dict[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}


def database(directory: Path, *records: dict[str, Any]) -> Path:
    path = directory / "all.zip"
    with ZipFile(path, "w") as archive:
        for number, one in enumerate(records):
            archive.writestr(f"MADE-UP-{number}.json", json.dumps(one))
    return path


def audit(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    lock = directory / "lock.txt"
    lock.write_text(LOCK)
    # an address that answers nobody: whatever asks the network fails
    environment = os.environ | dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy"), "http://127.0.0.1:9")
    command = [sys.executable, "-m", "requirements.audit", *arguments, "--locks", str(lock)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def test_a_vulnerable_pin_is_found_without_a_network_and_told_how_to_mend(tmp_path: Path) -> None:
    """Also one for another platform than this."""
    path = database(tmp_path, record("made-up", **within({"introduced": "2.0"}, {"fixed": "2.6"})))
    done = audit(tmp_path, str(path))
    assert done.returncode == 1, done.stderr
    found = [line.split() for line in done.stdout.splitlines() if "MADE-UP-1" in line]
    assert [line[:4] for line in found] == [["made-up", "2.5", "MADE-UP-1", "2.6"]]


def test_what_is_mended_is_not_found(tmp_path: Path) -> None:
    path = database(tmp_path, record("made-up", **within({"introduced": "2.0"}, {"fixed": "2.5"})))
    done = audit(tmp_path, str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 vulnerabilities" in done.stdout


def test_an_audit_that_could_ask_nobody_does_not_pass(tmp_path: Path) -> None:
    assert audit(tmp_path).returncode != 0


@pytest.mark.parametrize("content", [b"", b"PK", b"[]"])
def test_a_file_that_is_no_database_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "all.zip").write_bytes(content)
    done = audit(tmp_path, str(tmp_path / "all.zip"))
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"error: {tmp_path / 'all.zip'} is not OSV's file of vulnerabilities; fetch all.zip of the ecosystem PyPI again"
    )


@pytest.mark.parametrize(
    ("affected", "inside", "outside"),
    [
        (within({"introduced": "0"}, {"fixed": "1.2"}), ["0.0.1.dev1", "1.1", "1.2rc1"], ["1.2", "1.2.post1", "2"]),
        (within({"introduced": "1"}, {"last_affected": "1.4"}), ["1.0", "1.4.0"], ["0.9", "1.4.1"]),
        (within({"introduced": "0"}), ["0", "99"], []),
        # the events come in any order, and a range may begin again where another ends
        (
            within({"fixed": "4"}, {"introduced": "3"}, {"introduced": "1"}, {"fixed": "2"}),
            ["1", "1.9", "3", "3.9"],
            ["0", "2", "2.9", "4", "5"],
        ),
        (within({"introduced": "1"}, {"fixed": "2"}, {"introduced": "2"}, {"fixed": "3"}), ["1", "2", "2.5"], ["3"]),
        ({"versions": ["1.0", "1.1rc1", "what"]}, ["1.0", "1", "1.1rc1", "1.1.rc1"], ["1.1", "1.2"]),
        ({"versions": ["7"], **within({"introduced": "1"}, {"fixed": "2"})}, ["7", "1.5"], ["2", "6"]),
        # commits are no versions of a package
        ({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, [], ["1"]),
        # nobody can place it, so somebody must look
        (within({"introduced": "one"}), ["1"], []),
    ],
)
def test_a_version_is_placed_as_the_schema_says(
    affected: dict[str, Any], inside: list[str], outside: list[str]
) -> None:
    assert [version for version in inside + outside if is_affected(affected, version)] == inside


def test_names_are_compared_as_the_index_does_and_withdrawn_records_count_nowhere(tmp_path: Path) -> None:
    every = within({"introduced": "0"})
    other = record("made-up", **every)
    other["affected"][0]["package"]["ecosystem"] = "npm"
    withdrawn = {**record("made-up", **every), "withdrawn": "2026-02-02T00:00:00Z"}
    found = Database(database(tmp_path, record("Made.UP", **every), other, withdrawn))
    assert len(found.find("made_up", "1")) == 1
    assert found.find("made-upper", "1") == []


def test_a_database_of_another_ecosystem_is_refused(tmp_path: Path) -> None:
    other = record("made-up", **within({"introduced": "0"}))
    other["affected"][0]["package"]["ecosystem"] = "npm"
    with pytest.raises(InvalidInput, match="knows of no vulnerability in PyPI"):
        Database(database(tmp_path, other))
