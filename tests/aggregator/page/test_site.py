"""What the pages say, and that whatever contributors wrote stays text."""

import json
import posixpath
import re

import pytest

from medforge.aggregator.ledger.records import State
from medforge.aggregator.page.addresses import branch_page, commit_page, contributor_page, task_page
from medforge.aggregator.page.site import Site
from tests.aggregator.page.documents import Element, parse
from tests.aggregator.page.shown_forge import (
    HOSTILE_KEYS,
    HOSTILE_NAME,
    HOSTILE_NOTES,
    HOSTILE_PROMPTS,
    HOSTILE_REASON,
    ShownForge,
)

# by which an attribute runs a script or loads something
RUNNING = re.compile(r"^(on.*|style|srcdoc|formaction|data|poster|background|ping)$")
TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "link",
        "script",
        "body",
        "header",
        "nav",
        "main",
        "section",
        "article",
        "footer",
    ),
    *("h1", "h2", "h3", "p", "ul", "ol", "li", "table", "caption", "thead", "tbody", "tr", "th", "td", "div", "figure"),
    *("a", "b", "span", "strong", "pre", "code", "time", "bdi", "q", "details", "summary", "noscript"),
    *("form", "label", "input", "svg", "path", "circle", "text"),
}


@pytest.fixture(scope="module")
def pages(site: Site) -> dict[str, Element]:
    """Every page, read."""
    return {path: parse(_read(site, path)) for path in site.paths() if path.endswith(".html")}


def _read(site: Site, path: str) -> bytes:
    found = site.read(path)
    assert found is not None, path
    return found


def test_every_link_leads_to_a_file_of_the_site(site: Site, pages: dict[str, Element]) -> None:
    known = set(site.paths())
    assert len(known) == len(list(site.paths()))
    links = 0
    for path, page in pages.items():
        for one in page.walk():
            for name in ("href", "src", "action"):
                target = one.attributes.get(name)
                if target is None or target.startswith(("#", "data:,")):
                    continue
                assert posixpath.normpath(posixpath.join(posixpath.dirname(path), target)) in known, (path, target)
                links += 1
    assert links > 500


def test_no_page_depends_on_the_hour_or_the_order_of_reading(shown: ShownForge, site: Site) -> None:
    before = {path: site.read(path) for path in site.paths()}
    site.update()
    assert {path: site.read(path) for path in site.paths()} == before


def test_what_contributors_wrote_is_text_everywhere(pages: dict[str, Element]) -> None:
    for path, page in pages.items():
        for one in page.walk():
            assert one.tag in TAGS | {""}, (path, one.tag)
            assert not [name for name in one.attributes if RUNNING.match(name)] or one.tag == "script", (path, one)
            href = one.attributes.get("href", "")
            assert not re.match(r"\s*(javascript|vbscript|data:(?!,$))", href, re.IGNORECASE), (path, href)
            if one.tag == "script":
                assert one.attributes["src"]
                assert not one.inside, "no script is written into a page"


def test_hostile_names_are_shown_as_they_are_written(pages: dict[str, Element], shown: ShownForge) -> None:
    task = pages[task_page("odd")].text
    # no template is run
    for written in (*HOSTILE_KEYS, *HOSTILE_PROMPTS, "<i>nothing</i>"):
        assert written in task
    assert HOSTILE_NAME in pages[contributor_page("img")].text
    # nor is a mark shown that would turn round what follows
    shown_reason = re.sub("[\u2028\u202e\u202c]", "\ufffd", HOSTILE_REASON)
    assert pages[branch_page(shown.numbers["kept out"])].find("q")[0].text == shown_reason


def test_no_page_says_what_only_the_maintainer_may_read(site: Site, shown: ShownForge) -> None:
    everything = b"\n".join(_read(site, path) for path in site.paths()).decode()
    assert str(shown.directory) not in everything
    for arrival in site.view.history.arrivals.values():
        manifest = site.view.manifest(arrival)
        if manifest is not None:
            # the files of a branch cannot be asked for by what a page says
            assert not [one for one in manifest.files.values() if one.digest in everything]


def test_the_overview_counts(site: Site, pages: dict[str, Element]) -> None:
    cards = [one.text for one in pages["index.html"].find("ul")[0].find("li")]
    history = site.view.history
    folded = sum(one.state is State.FOLDED for one in history.arrivals.values())
    assert history.head is not None
    mean = sum(one.acc for one in history.head.metrics.values()) / len(history.head.metrics)
    assert cards == [
        f"{folded} branches in the model",
        f"{len(history.tasks)} tasks",
        f"{len(history.everybody)} contributors",
        f"{mean:.3f} mean score over the tasks",
    ]
    assert "2 branches wait for the maintainer" in pages["index.html"].text


def test_a_branch_tells_its_story(site: Site, pages: dict[str, Element], shown: ShownForge) -> None:
    replaced = pages[branch_page(shown.numbers["replaced"])].text
    assert "lung , from Universitätsklinikum Köln (koeln)" in replaced
    assert "A newer branch by the same contributor for the same task took its place." in replaced
    newest = pages[branch_page(shown.numbers["newest"])].text
    assert "share in its task 50 %" in newest
    assert f"medforge withdraw {shown.numbers['newest']} --kit KIT" in newest
    gone = pages[branch_page(shown.numbers["withdrawn"])].text
    assert "Its files were deleted from the forge." in gone
    assert "medforge withdraw" not in gone
    held = pages[branch_page(shown.numbers["held"])].text
    assert "It contradicts another hospital's branch" in held
    assert site.view.history.arrivals[shown.numbers["held"]].reason in held
    undeclared = pages[branch_page(shown.numbers["undeclared"])].text
    assert "It answers no question that this forge asks" in undeclared


def test_scores_before_and_after_are_those_of_the_commits(
    site: Site, pages: dict[str, Element], shown: ShownForge
) -> None:
    came = site.view.history.round_of(shown.numbers["hostile"])
    assert came is not None
    before, after = site.view.commit(came.number - 1), site.view.commit(came.number)
    assert before is not None
    assert after is not None
    rows = next(
        one for one in pages[branch_page(shown.numbers["hostile"])].find("section") if one.attributes["id"] == "changed"
    )
    cells = [[cell.text for cell in row.find("th", "td")] for row in rows.find("tr")[1:]]
    expected = {task: (before.metrics.get(task), score) for task, score in after.metrics.items()}
    changed = {task for task, (old, new) in expected.items() if old is None or old.acc != new.acc}
    assert {row[0] for row in cells} == changed
    assert cells[0] == ["odd", "–", f"{after.metrics['odd'].acc:.3f}"]


def test_a_commit_names_the_command_that_pulls_it(site: Site, pages: dict[str, Element]) -> None:
    for made in site.view.history.rounds:
        text = pages[commit_page(made.number)].text
        assert f"medforge checkout --kit KIT --commit {made.digest[:8]} --out merged" in text
        assert made.digest in text


def test_a_release_is_recommended(pages: dict[str, Element], site: Site, shown: ShownForge) -> None:
    came = site.view.history.round_of(shown.numbers["hostile"])
    assert came is not None
    assert "The maintainer recommends the release v1.0 , which is" in pages["index.html"].text
    assert "medforge checkout --kit KIT --commit v1.0 --out merged" in pages["index.html"].text
    assert "Released as v1.0 on" in pages[commit_page(came.number)].text
    assert HOSTILE_NOTES in ["".join(map(str, one.inside)) for one in pages[commit_page(came.number)].find("bdi")]
    assert f"commit {came.number} is called v1.0 from now on" in pages["timeline/1.html"].text
    # the time of a commit is when it was made, not when it was named
    assert site.view.history.made_at[came.number] < site.view.tags["v1.0"].tagged_at


def test_a_task_says_who_answers_it(pages: dict[str, Element], shown: ShownForge) -> None:
    table = next(one for one in pages[task_page("lung")].find("section") if one.attributes["id"] == "answering").find(
        "table"
    )[0]
    rows = [[cell.text for cell in row.find("th", "td")] for row in table.find("tr")[1:]]
    assert [(row[0], row[-1]) for row in rows] == [
        (f"branch {shown.numbers[name]}", "50 %") for name in ("folded", "newest")
    ]


def test_the_search_index_is_data(site: Site) -> None:
    script = _read(site, "search-index.js").decode("ascii")
    assert "<" not in script
    rows = json.loads(script.removeprefix("window.medforgeIndex = ").removesuffix(";\n"))
    assert {row[0] for row in rows} == {"task", "contributor", "branch", "commit"}
    assert any(HOSTILE_NAME in row[1] for row in rows)
    assert {row[3] for row in rows} <= set(site.paths())


def test_what_is_no_page_is_none(site: Site) -> None:
    far = ["branch/99.html", "branch/0.html", "commit/99.html", "task/0000000000000000.html", "timeline/9.html"]
    for path in (*far, "", "..", "../forge.json", "keys/forge.key", "page.css/", "branch/1.html\n", "branch/١.html"):
        assert site.read(path) is None
