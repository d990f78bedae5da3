"""Names that readers take for one another, and names that they do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.name_skeleton import RESERVED, alike, reserved, skeletons


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CentreB", "Centre B"),
        ("centre-b", "Centre_B"),
        ("CentreI", "Centrel"),
        ("CentreI", "Centre 1"),
        ("Centre l", "Centre1"),
        ("C0", "CO"),
        ("modern", "rnodern"),
        ("Сentre", "Centre"),  # Cyrillic es
        ("Ηospital", "Hospital"),  # Greek eta
        ("𝐂entre", "Centre"),
        ("Centre\u00a0A", "Centre A"),
    ],
)
def test_look_alikes_are_found(one: str, other: str) -> None:
    assert alike(one, other)
    assert alike(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Centre A", "Centre B"),
        ("Mail", "Mall"),
        ("site-1", "site-2"),
        ("site-10", "site-0"),
        ("lung-1-1", "lung-11"),
        ("lung-11-2", "lung-1-12"),
        ("Köln", "Kiel"),
        ("हिन्दी", "हन्दा"),
        ("東京大学病院", "京都大学病院"),
    ],
)
def test_names_that_readers_tell_apart_are_two(one: str, other: str) -> None:
    assert not alike(one, other)


@pytest.mark.parametrize("name", [*RESERVED, "FORGE", "f0rge", "plain-text", "p1aintext", "Мaintainer", " head "])
def test_what_means_something_else_is_reserved(name: str) -> None:
    assert reserved(name) in RESERVED
    assert reserved(f"{name} of the North") is None


@given(st.text(max_size=40))
def test_every_name_is_like_itself_in_any_case_and_spacing(name: str) -> None:
    assert alike(name, name)
    assert alike(name, f" {name}_")
    assert skeletons(name) == skeletons(name)
    assert alike(name.casefold(), name.casefold().upper().casefold())
