"""Ctrl-C in a centre's work, in real processes: it says what is saved, and the same command goes on from there."""

import json
import signal
from pathlib import Path

from medforge.client.interruption import say_saved
from medforge.client.workspace import Workspace
from tests.client.recorded import copy_recorded
from tests.client.tasks import write_folder
from tests.client.test_cli import options, run
from tests.programs import Program, Server


def interrupted(program: Program, place: Path) -> str:
    """Press Ctrl-C in a program that waits at a point; return the sentence it ends with."""
    program.wait_for_fault()
    program.signal(signal.SIGINT)
    program.signal(signal.SIGCONT)
    assert program.wait() == 130
    said = program.said()
    assert "Traceback" not in said
    (sentence,) = [line for line in said.splitlines() if line.startswith("medforge: interrupted: ")]
    assert said.splitlines()[-1] == sentence
    assert str(place) in sentence
    assert "run the same command again" in sentence.partition("; ")[2]
    return sentence


def test_training_says_what_is_saved_and_the_same_command_goes_on(tiny_spec: str, tmp_path: Path) -> None:
    place = Workspace(tmp_path / "w")
    source = f"folder:{write_folder(tmp_path / 'shades')}"
    command = ["train", source, "--workspace", str(place.path), "--base", tiny_spec, "--threads", "1"]
    command += options(train__epochs=60)
    sentence = interrupted(Program(command, tmp_path / "log", "after checkpoint:2=freeze"), place.path)
    saved = place.saved_training
    assert saved is not None
    assert (saved.of, saved.steps) == (60, saved.epochs * 3)
    kept = f"{saved.epochs} of 60 epochs ({saved.steps} steps)"
    assert sentence == f"medforge: interrupted: saved in {place.path}: {kept}; run the same command again to go on"
    assert json.loads(run("status", "--workspace", place.path, "--json"))["saved"]["training"]["epochs"] == saved.epochs
    assert f"trained      no, {saved.epochs} of 60 epochs" in run("status", "--workspace", place.path)
    # and it is true
    assert not (place.training / "history.json").exists(), "it was interrupted too late to prove anything"
    assert run(*command).startswith("trained: ")


def test_distillation_says_what_is_saved_and_the_same_command_goes_on(tiny_spec: str, tmp_path: Path) -> None:
    place = Workspace(tmp_path / "w")
    source = f"folder:{write_folder(tmp_path / 'shades')}"
    chosen = ["--workspace", str(place.path), "--base", tiny_spec, "--threads", "1"]
    chosen += options(distill__steps=8, distill__checkpoint_every=2)
    run("train", source, *chosen)
    command = ["distill", source, *chosen]
    sentence = interrupted(Program(command, tmp_path / "log", "after checkpoint:1=freeze"), place.path)
    saved = place.saved_distillation
    assert saved is not None
    assert (saved.steps, saved.of) == (2, 8)
    assert "2 of 8 steps" in sentence
    assert "distilled    no, 2 of 8 steps" in run("status", "--workspace", place.path)
    assert place.distilled is None
    assert run(*command).startswith("distilled: ")


def test_a_push_says_that_the_branch_stays_and_the_same_command_goes_on(tmp_path: Path) -> None:
    place = Workspace(copy_recorded(tmp_path / "w"))
    with Server(tmp_path / "forge", "medforge-tiny") as server:
        server.up()
        command = ["push", "--workspace", str(place.path), "--at", server.at]
        sentence = interrupted(Program(command, tmp_path / "log", "during push:1=freeze"), place.path)
        assert f"the branch stays in {place.path}, and the forge keeps what it received" in sentence
        assert place.pushed is None
        assert run(*command).startswith("pushed: arrival 1 at ")
        assert place.pushed is not None
        server.stop()


def test_a_server_in_the_foreground_ends_in_order(tmp_path: Path) -> None:
    with Server(tmp_path / "forge", "medforge-tiny") as server:
        program = server.up()
        program.signal(signal.SIGINT)
        assert program.wait() == 0
        assert "Traceback" not in program.said()


def test_nothing_saved_is_said(tmp_path: Path) -> None:
    assert say_saved(Workspace(tmp_path / "w")).startswith("nothing is saved in ")
