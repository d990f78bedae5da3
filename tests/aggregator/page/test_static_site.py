"""The pages in a directory: whole, brought up to date, and in nobody else's."""

import json
import re
from pathlib import Path

import pytest

from medforge.aggregator.page.addresses import SCRIPT
from medforge.aggregator.page.site import Site
from medforge.aggregator.page.static_site import MARK_FILE, check_directory, write_site
from medforge.errors import InvalidInput
from tests.docs.pages import ROOT


def files_in(directory: Path) -> dict[str, bytes]:
    return {str(one.relative_to(directory)): one.read_bytes() for one in directory.rglob("*") if one.is_file()}


def test_every_page_is_written_and_nothing_else(site: Site, tmp_path: Path) -> None:
    directory = tmp_path / "site"
    count = len(list(site.paths()))
    assert write_site(site, directory) == (count, count)
    found = files_in(directory)
    assert json.loads(found.pop(MARK_FILE))["files"] == sorted(found)
    assert found == {path: site.read(path) for path in site.paths()}


def test_the_reference_names_every_file_of_a_site_and_no_other(site: Site) -> None:
    section = (ROOT / "docs" / "reference-files-and-wire.md").read_text(encoding="utf-8")
    section = section.split("## A forge's pages")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    numbered = (re.sub(r"/[0-9a-f]{16}\.", "/KEY.", path) for path in site.paths())
    assert told == {*(re.sub(r"/[0-9]+\.", "/N.", path) for path in numbered), SCRIPT, MARK_FILE}


def test_what_is_the_same_is_left_alone_and_what_is_gone_deleted(site: Site, tmp_path: Path) -> None:
    directory = tmp_path / "site"
    write_site(site, directory)
    before = files_in(directory)
    mark = json.loads(before[MARK_FILE])
    outside = tmp_path / "outside.html"
    for path in (outside, directory / "branch" / "99.html", directory / "mine.txt"):
        path.write_text("old")
    (directory / "held.html").write_text("half")
    (directory / MARK_FILE).write_text(
        json.dumps(mark | {"files": [*mark["files"], "branch/99.html", "../outside.html"]})
    )
    assert write_site(site, directory) == (len(mark["files"]), 1)
    assert files_in(directory) == before | {"mine.txt": b"old"}
    assert outside.exists()


def test_an_interrupted_one_is_taken_up_again(site: Site, tmp_path: Path) -> None:
    left = 5

    def interrupt() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_site(site, tmp_path / "site", interrupt)
    write_site(site, tmp_path / "site")
    write_site(site, tmp_path / "whole")
    assert files_in(tmp_path / "site") == files_in(tmp_path / "whole")


def test_other_directories_are_refused(site: Site, tmp_path: Path) -> None:
    check_directory(tmp_path, site.view.id)
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(InvalidInput, match="holds no pages of a forge; give a new directory"):
        write_site(site, tmp_path)
    with pytest.raises(InvalidInput, match="holds no pages"):
        check_directory(tmp_path / "thesis.doc", site.view.id)
    write_site(site, tmp_path / "site")
    with pytest.raises(InvalidInput, match="shows the forge"):
        check_directory(tmp_path / "site", "another")
    (tmp_path / "site" / MARK_FILE).write_text("{}")
    with pytest.raises(InvalidInput, match="no list of pages"):
        check_directory(tmp_path / "site", site.view.id)
    assert files_in(tmp_path)["thesis.doc"] == b"mine"
