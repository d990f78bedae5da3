import shutil
import sys
from pathlib import Path

import pytest

from medforge.proto import generate

ROOM = Path(__file__).resolve().parents[2] / "proto"


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the room's .proto and stubs that may be spoilt."""
    for name in (*generate.STUBS, "forge.proto"):
        shutil.copy(ROOM / name, tmp_path / name)
    monkeypatch.setattr(generate, "ROOM", tmp_path)
    monkeypatch.setattr(sys, "argv", ["generate", "--check"])
    return tmp_path


def test_the_committed_stubs_match_the_proto(room: Path) -> None:
    assert generate.main() == 0


def test_a_changed_proto_is_noticed_and_mended(
    room: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    proto = room / "forge.proto"
    proto.write_text(proto.read_text().replace("message DescribeRequest {}", "message DescribeRequest { bool x = 1; }"))
    assert generate.main() == 1
    said = capsys.readouterr().err
    assert "forge_pb2.py" in said
    assert "do not match forge.proto; run `make proto` and commit them" in said
    monkeypatch.setattr(sys, "argv", ["generate"])
    assert generate.main() == 0
    monkeypatch.setattr(sys, "argv", ["generate", "--check"])
    assert generate.main() == 0


def test_a_missing_stub_is_noticed(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (room / "forge_pb2.pyi").unlink()
    assert generate.main() == 1
    assert capsys.readouterr().err.startswith("forge_pb2.pyi do")
