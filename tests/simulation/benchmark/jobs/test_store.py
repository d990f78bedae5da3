from pathlib import Path

import pytest

from medforge.errors import InvalidInput
from medforge.simulation.benchmark.jobs.store import Store


def test_equal_facts_have_one_place_and_others_never_meet(tmp_path: Path) -> None:
    store = Store(tmp_path)
    place = store.place("lung, seed 0: lora", {"seed": 0, "source": "folder:/a b"})
    assert place == store.place("lung, seed 0: lora", {"source": "folder:/a b", "seed": 0})
    assert place != store.place("lung, seed 0: lora", {"seed": 1, "source": "folder:/a b"})
    assert place.parent.parent == tmp_path
    assert place.name.startswith("lung--seed-0--lora-")


def test_a_place_is_finished_by_its_record(tmp_path: Path) -> None:
    store = Store(tmp_path)
    place = store.place("x", {})
    place.mkdir(parents=True)
    (place / "half").write_text("made")
    assert store.record(place) is None
    store.finish(place, {"digest": "d"})
    assert store.record(place) == {"digest": "d"}
    (place / "record.json").write_text("{")
    with pytest.raises(InvalidInput, match="cannot be read .* remove .* to compute it anew"):
        store.record(place)


def test_one_benchmark_at_a_time(tmp_path: Path) -> None:
    with (
        Store(tmp_path / "out").locked(),
        pytest.raises(InvalidInput, match="in use by another benchmark"),
        Store(tmp_path / "out").locked(),
    ):
        raise AssertionError("two have the directory")
    with Store(tmp_path / "out").locked():
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot be written"), Store(tmp_path / "file").locked():
        raise AssertionError("a file is no directory")
