"""One process works in a workspace at a time, and one that died keeps nobody out."""

from pathlib import Path

from tests.client.tasks import write_folder
from tests.client.test_cli import options, run
from tests.programs import Program


def test_a_second_process_is_refused_until_the_first_is_gone(tiny_spec: str, tmp_path: Path) -> None:
    place = tmp_path / "w"
    source = f"folder:{write_folder(tmp_path / 'shades')}"
    command = ["train", source, "--workspace", str(place), "--base", tiny_spec, "--threads", "1", *options()]
    first = Program(command, tmp_path / "first", "after checkpoint:1=freeze")
    first.wait_for_fault()
    second = Program(command, tmp_path / "second")
    assert second.wait() == 2
    assert f"another process is working in {place}; wait until it ends or use another --workspace" in second.said()
    assert run("status", "--workspace", place).count("trained      no")
    first.kill()
    assert run(*command).startswith("trained: ")
