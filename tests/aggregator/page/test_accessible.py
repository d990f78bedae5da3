"""What a screen reader, a keyboard and weak eyes need of every page; axe in a browser, run by hand, finds more."""

import re
from collections import Counter
from itertools import pairwise

import pytest

from medforge.aggregator.page.site import Site
from tests.aggregator.page.documents import Element, parse

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
# text on what lies behind it, by the names that the style gives colours
PAIRS = [
    *((ink, ground) for ink in ("ink", "muted", "accent") for ground in ("page", "soft")),
    *((ink, "page") for ink in ("came", "left", "held")),
    ("warn", "warn-soft"),
    ("page", "accent"),
]


@pytest.fixture(scope="module")
def pages(site: Site) -> dict[str, Element]:
    """Every page, read."""
    return {path: parse(site.read(path) or b"") for path in site.paths() if path.endswith(".html")}


def test_headings_are_in_order(pages: dict[str, Element]) -> None:
    for path, page in pages.items():
        levels = [int(one.tag[1]) for one in page.find(*HEADINGS)]
        assert levels[0] == 1, path
        assert levels.count(1) == 1, path
        assert all(after <= before + 1 for before, after in pairwise(levels)), path
        assert all(one.text for one in page.find(*HEADINGS)), path


def test_everything_has_a_name(pages: dict[str, Element]) -> None:
    for path, page in pages.items():
        assert page.find("html")[0].attributes["lang"] == "en"
        assert page.find("title")[0].text.endswith("· MedForge")
        labelled = {one.attributes.get("for") for one in page.find("label")}
        assert all(one.attributes["id"] in labelled for one in page.find("input")), path
        assert all(one.attributes["role"] == "img" and one.attributes["aria-label"] for one in page.find("svg")), path
        assert all(one.find("caption") for one in page.find("table")), path
        assert all("scope" in one.attributes for one in page.find("th")), path
        assert all(one.text for one in page.find("a", "summary")), path
        assert all(one.attributes["aria-label"] for one in page.find("nav")), path
        ids = Counter(one.attributes["id"] for one in page.walk() if "id" in one.attributes)
        assert not [name for name, count in ids.items() if count > 1], path
        for one in page.walk():
            for name in one.attributes.get("aria-labelledby", "").split():
                assert name in ids, path


def test_a_page_has_its_landmarks_and_a_way_past_the_menu(pages: dict[str, Element]) -> None:
    for path, page in pages.items():
        for tag in ("main", "header", "footer"):
            assert len(page.find(tag)) == 1, (path, tag)
        skip = page.find("a")[0]
        assert skip.attributes["href"] == f"#{page.find('main')[0].attributes['id']}"


def test_what_scrolls_can_be_reached_by_keyboard(pages: dict[str, Element]) -> None:
    scrolling = [one for page in pages.values() for one in page.walk() if "scroll" in one.attributes.get("class", "")]
    assert scrolling
    assert all(one.attributes["tabindex"] == "0" and one.attributes["aria-label"] for one in scrolling)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_can_be_read(site: Site, dark: bool) -> None:
    style = (site.read("page.css") or b"").decode()
    blocks = re.findall(r"(@media \(prefers-color-scheme: dark\) \{\s*)?:root \{([^}]*)\}", style)
    assert len([by_night for by_night, _ in blocks if by_night]) == 2
    colours: dict[str, str] = {}
    for by_night, block in blocks:
        colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", block)) if dark or not by_night else {}
    for ink, ground in PAIRS:
        assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2, from 1 to 21."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_contrast_is_as_wcag_says() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#fff") == pytest.approx(4.48, abs=0.01)
