"""The generated reference pages are what the code says now."""

import pytest

from docs.generate.__main__ import DOCS, PAGES, drifted


def test_nothing_has_drifted() -> None:
    assert not drifted(), "run `make docs` and look at what changed"


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_generated_the_same_twice_and_says_so(name: str) -> None:
    text = PAGES[name]()
    assert text == PAGES[name]()
    assert text.startswith("<!-- Generated from ")
    assert (DOCS / name).is_file()
