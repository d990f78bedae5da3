"""Ctrl-C in a centre's work: it says what is saved, and the same command goes on from there."""

import signal
import time
from pathlib import Path

from tests.client.tasks import write_folder
from tests.client.test_cli import options, run
from tests.programs import Program


def test_ctrl_c_in_training_says_what_is_saved_and_how_to_go_on(tiny_spec: str, tmp_path: Path) -> None:
    source = f"folder:{write_folder(tmp_path / 'shades')}"
    place = tmp_path / "centre"
    arguments = ["train", source, "--workspace", place, "--base", tiny_spec, "--threads", "1"]
    many = options(train__epochs=60)
    program = Program([*arguments, *many], tmp_path / "log")
    end = time.monotonic() + 120
    while not (place / "training" / "checkpoint.safetensors").exists():
        assert program.alive, program.said()
        assert time.monotonic() < end
        time.sleep(0.01)
    program.signal(signal.SIGINT)
    assert program.wait() == 130
    said = program.said()
    assert "Traceback" not in said
    (sentence,) = [line for line in said.splitlines() if line.startswith("medforge: interrupted: ")]
    assert str(place) in sentence
    assert "saved" in sentence.partition("; ")[0]
    assert "run the same command again" in sentence.partition("; ")[2]
    # and it is true
    assert not (place / "training" / "history.json").exists(), "it was interrupted too late to prove anything"
    assert run(*arguments, *many).startswith("trained: ")
