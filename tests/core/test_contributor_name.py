"""What a contributor is called."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.contributor_name import IDENTIFIER, ContributorName, check_name, identifier_of
from medforge.errors import InvalidInput


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("Universitätsklinikum Köln", "Universitatsklinikum Koln"),
        ("St. Mary's", "St. Marys"),
        ("Klinikum Großhadern", "Klinikum Grosshadern"),
        ("Szpital Śląski, Łódź", "Szpital Slaski Lodz"),
        ("Rigshospitalet (København)", "Rigshospitalet Kobenhavn"),
        ("Ärzte & Co", "Arzte and Co"),
        ("東大 Hospital", "Hospital"),
    ],
)
def test_the_identifier_is_what_ascii_leaves_of_a_name(name: str, identifier: str) -> None:
    assert ContributorName.of(name) == ContributorName(identifier, unicodedata.normalize("NFC", name))
    assert str(ContributorName.of(name)) == f"{name} ({identifier})"


@pytest.mark.parametrize("name", ["north", "Centre A", "st_mary.2-b"])
def test_a_plain_name_is_its_own_identifier(name: str) -> None:
    assert ContributorName.of(name) == ContributorName(name)
    assert str(ContributorName.of(name)) == name


def test_an_identifier_can_be_given() -> None:
    assert ContributorName.of("東京大学病院", "utokyo") == ContributorName("utokyo", "東京大学病院")
    with pytest.raises(InvalidInput, match="of '東京大学病院' no identifier can be made; give one that begins with"):
        ContributorName.of("東京大学病院")
    with pytest.raises(InvalidInput, match="'ü' is no identifier"):
        ContributorName.of("Köln", "ü")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[31mb", "a\N{RIGHT-TO-LEFT OVERRIDE}b", "x" * 101])
def test_what_cannot_be_seen_is_no_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be a name; use 1 to 100 characters that can be seen"):
        check_name(name)


@given(st.text(max_size=120))
def test_every_name_gives_an_identifier_or_a_sentence(name: str) -> None:
    try:
        made = ContributorName.of(name)
    except InvalidInput:
        return
    assert re.fullmatch(IDENTIFIER, made.identifier)
    assert ContributorName.of(name) == made
    assert identifier_of(made.identifier) == made.identifier
    assert ContributorName.of(unicodedata.normalize("NFD", name)) == made
