"""Ctrl-C in the middle of training, in a real process."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from medforge.client.interruption import say_saved
from medforge.client.workspace import Workspace
from tests.client.tasks import write_folder
from tests.client.test_cli import options, run


def test_an_interruption_says_what_is_saved_and_the_same_command_goes_on(tiny_spec: str, tmp_path: Path) -> None:
    place = Workspace(tmp_path / "w")
    source = f"folder:{write_folder(tmp_path / 'shades')}"
    command = ["train", source, "--workspace", str(place.path), "--base", tiny_spec, "--threads", "1"]
    command += options(train__epochs=4000)
    process = subprocess.Popen(
        [sys.executable, "-m", "medforge", *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 120
    while place.saved_training is None if place.exists else True:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    saved = place.saved_training
    assert process.returncode == 130
    assert saved is not None
    assert (saved.of, saved.steps) == (4000, saved.epochs * 3)
    last = errors.splitlines()[-1]
    kept = f"{saved.epochs} of 4000 epochs ({saved.steps} steps)"
    assert last == f"medforge: interrupted: saved in {place.path}: {kept}; run the same command again to go on"
    assert json.loads(run("status", "--workspace", place.path, "--json"))["saved"]["training"]["epochs"] == saved.epochs
    assert f"trained      no, {saved.epochs} of 4000 epochs" in run("status", "--workspace", place.path)


def test_nothing_saved_is_said(tmp_path: Path) -> None:
    assert say_saved(Workspace(tmp_path / "w")).startswith("nothing is saved in ")
