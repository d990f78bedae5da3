"""A command that is still importing after two seconds says so; one that does something else says that itself."""

import importlib
import time
from pathlib import Path

import pytest

from medforge.cli.loading import loading_said


def test_a_long_import_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "slow_to_import.py").write_text("import time\n\ntime.sleep(0.5)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with loading_said(0.1):
        importlib.import_module("slow_to_import")
        time.sleep(0.2)
    assert capsys.readouterr().err == "loading libraries …\n"


def test_other_work_and_short_imports_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with loading_said(0.1):
        time.sleep(0.3)
    with loading_said(0.1):
        pass
    time.sleep(0.2)
    assert capsys.readouterr().err == ""
