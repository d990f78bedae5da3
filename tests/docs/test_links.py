"""Every relative link, image and anchor of every page leads somewhere; every page is found from the index."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anchors, links, pages

DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        found = page if not path else (page.parent / path).resolve()
        assert found.exists(), f"{page.name} links to {target}, which is not there"
        assert found.is_relative_to(ROOT), f"{page.name} links to {target}, outside the repository"
        if anchor and found.suffix == ".md":
            assert anchor in anchors(found), f"{page.name} links to {target}, and there is no such heading"


def test_the_index_names_every_page() -> None:
    listed = {(DOCS / target.partition("#")[0]).resolve() for target in links(DOCS / "README.md")}
    missing = sorted(path.name for path in DOCS.glob("*.md") if path.name != "README.md" and path not in listed)
    assert not missing


def test_every_image_and_result_is_used() -> None:
    used = {(page.parent / target.partition("#")[0]).resolve() for page in pages() for target in links(page)}
    assert not sorted(path.name for path in (DOCS / "images").iterdir() if path not in used)


def test_pages_are_named_by_kind() -> None:
    kinds = ("tutorial-", "how-to-", "explanation-", "reference-")
    assert not [path.name for path in DOCS.glob("*.md") if path.name != "README.md" and not path.name.startswith(kinds)]


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_tests_and_benchmarks_that_pages_name_exist() -> None:
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"[\w/]*\btest_\w+\.py", text):
            assert list((ROOT / "tests").rglob(Path(name).name)), f"{page.name} names {name}"
            assert not name.startswith("tests/") or (ROOT / name).is_file(), f"{page.name} names {name}"
        for name in re.findall(r"python -m (benchmarks\.\w+)", text):
            place = ROOT / name.replace(".", "/")
            assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), f"{page.name} names {name}"
