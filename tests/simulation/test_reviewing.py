"""`medforge simulate --review` with real processes: centres that review, and one of them that does harm."""

import json
from pathlib import Path

import pytest

from tests.e2e.test_reviews import GREY, images
from tests.simulation.test_run import command, result_of, run_here


def test_a_centre_that_takes_anothers_images_is_held_and_stable_stays(
    tiny_spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    victim = images(tmp_path / "shades", ("dark_tissue", "bright_tissue"), GREY, 1)
    attacker = images(tmp_path / "glass", ("alpha_glass", "omega_glass"), GREY, 3)
    named = ("--centre", f"shades=folder:{victim}", "--centre", f"glass=folder:{attacker}")
    # one at a time, so that the centre that was there first speaks first: where the newcomer does, it contradicts it
    # and both are held
    in_turn = ("--jobs", "1")
    done = run_here(command(tiny_spec, tmp_path / "run", *named, "--review", *in_turn))
    assert done.exit_code == 0, done.stderr
    result = result_of(tmp_path / "run")
    assert [centre.arrived for centre in result.centres] == [True, False]
    held = result.centres[1].held
    assert held is not None
    assert "validation images of task 'shades' at shades" in held
    reviews = result.reviews
    assert reviews is not None
    assert reviews.stable == result.head
    assert [(one.standing, one.held) for one in reviews.decisions] == [
        ("live", ()), ("harmful", (2,)), ("live", ())
    ]  # fmt: skip
    assert [(one.kind, one.centre) for one in result.rounds] == [
        ("fold", "shades"), ("fold", "glass"), ("remove", "glass")
    ]  # fmt: skip
    before, harmed, after = (result.rounds[place].routing["shades"] for place in (0, 1, 2))
    assert harmed["glass"] > 0.3
    assert after == before
    page = (tmp_path / "run" / "report.html").read_text()
    assert '<section id="reviews">' in page
    assert "was found harmful" in page
    assert "--review" in json.loads((tmp_path / "run" / "result.json").read_bytes())["command"]
