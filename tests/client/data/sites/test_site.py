"""How a division is written, and what is refused."""

import re

import pytest

from medforge.client.data.catalogue import check_source, open_task, resolve_source, same_source, whole_source
from medforge.client.data.sites.site import Division, Site, parse_division, read_site
from medforge.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "division", "options"),
    [
        ("4:iid", Division(4, "iid"), "by=iid,part=2/4"),
        ("3:dirichlet:0.30", Division(3, "dirichlet", 0.3), "by=dirichlet:0.3,part=2/3"),
        ("2:missing-class", Division(2, "missing-class"), "by=missing-class,part=2/2"),
        ("12:look", Division(12, "look"), "by=look,part=2/12"),
    ],
)
def test_a_division_is_read_and_written(text: str, division: Division, options: str) -> None:
    assert parse_division(text) == division
    assert division.options(2) == options
    given = dict(option.split("=") for option in options.split(","))
    assert read_site(given) == Site(2, division)


def test_the_way_may_be_left_out() -> None:
    assert read_site({"part": "1/4"}) == Site(1, Division(4, "iid"))
    assert read_site({"threads": "2"}) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("iid", "'iid' does not say how to divide; write SITES:WAY"),
        ("4", "'4' does not say how to divide; write SITES:WAY"),
        ("four:iid", "'four:iid' does not say how to divide; write SITES:WAY"),
        ("1:iid", "images cannot be divided over 1 sites; take 2 to 999"),
        ("4:patients", "there is no way 'patients' to divide images; choose iid, dirichlet:ALPHA, missing-class or"),
        ("4:dirichlet", "there is no way 'dirichlet' to divide images; .* as in dirichlet:0.3"),
        ("4:look:2", "there is no way 'look:2' to divide images"),
        ("4:dirichlet:none", "dirichlet:none cannot be used; give a concentration from 0.001"),
        ("4:dirichlet:0", "dirichlet:0 cannot be used"),
        ("4:dirichlet:inf", "dirichlet:inf cannot be used"),
    ],
)
def test_an_unusable_division_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence) as caught:
        parse_division(text)
    assert re.fullmatch(r"[^\n]*; [^\n]*[^.\n]", str(caught.value))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("part=5/4", "tissue: option part=5/4 names no site; write for example part=2/4, the second of 4"),
        ("part=0/4", "tissue: option part=0/4 names no site"),
        ("part=2", "tissue: option part=2 names no site"),
        ("part=1/1", "tissue: images cannot be divided over 1 sites"),
        ("by=iid", "tissue: option by=iid divides nothing by itself; add part=1/4 for one of 4 sites"),
        ("by=age,part=1/4", "tissue: there is no way 'age' to divide images"),
    ],
)
def test_an_unusable_part_is_refused_before_anything_is_opened(options: str, sentence: str) -> None:
    for use in (check_source, resolve_source, lambda source: open_task(source, 16)):
        with pytest.raises(InvalidInput) as caught:
            use(f"tissue:lung,{options}")
        assert sentence in str(caught.value)


def test_a_site_is_part_of_a_source_s_one_spelling() -> None:
    assert resolve_source("tissue:lung,part=2/4,train=60,by=iid") == "tissue:lung,by=iid,part=2/4,train=60"
    assert same_source("tissue:lung,part=2/4,by=iid", "tissue:lung,by=iid,part=2/4,threads=2")
    assert not same_source("tissue:lung,part=2/4,by=iid", "tissue:lung,part=3/4,by=iid")


def test_the_whole_source_is_found_again() -> None:
    source = "tissue:lung,train=60,by=look,part=2/4,threads=1"
    assert whole_source(source) == ("tissue:lung,train=60,threads=1", Site(2, Division(4, "look")))
    assert whole_source("tissue:lung") == ("tissue:lung", None)
