"""What the pages say of reviews, of what is stable, and of tags that the forge did not sign."""

from collections.abc import Iterator

import pytest

from medforge.aggregator.forge.tagging import tag_commit
from medforge.aggregator.ledger.journal import now
from medforge.aggregator.ledger.tag_table import TagTable
from medforge.aggregator.page.site import Site
from medforge.base_module import BaseModule
from medforge.proto.signed_tag import SignedTag
from medforge.proto.signing import new_key
from tests.aggregator.forges import open_main
from tests.aggregator.main_branch.reviewing.making import review
from tests.aggregator.main_branch.reviewing.test_board import Reviewed
from tests.aggregator.page.documents import Element, parse
from tests.aggregator.serving import FAST


def fill(forge: Reviewed) -> None:
    """Let ann review: what eve brings harms, what bob and cat bring waits; and somebody else sign a tag."""
    first = forge.push("ann", "lung", 0)
    forge.say(review("ann", first, baseline=None))
    bad = forge.push("eve", "chest", 1)
    forge.say(review("ann", bad, lost=60, baseline=first, taken=7))
    forge.push("bob", "colon", 2)
    forge.push("cat", "eye", 3)
    main = forge.main.forge
    tag_commit(main, "good", None)
    forged = SignedTag.issue(new_key(), main.settings.forge, "forged", first, True, "take <b>this</b>", now())
    TagTable(main.ledger).add(forged)


@pytest.fixture(scope="module")
def pages(tiny_base: BaseModule, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    forge = Reviewed(open_main(tmp_path_factory.mktemp("reviewed") / "forge", tiny_base, FAST))
    fill(forge)
    site = Site(forge.main.forge)
    site.update()
    yield site
    forge.main.forge.close()


def page(pages: Site, path: str) -> Element:
    found = pages.read(path)
    assert found is not None
    return parse(found)


def section(pages: Site, path: str, name: str) -> str:
    return next(one.text for one in page(pages, path).find("section") if one.attributes.get("id") == name)


def test_the_overview_says_which_model_people_get_and_why_and_what_waits(pages: Site) -> None:
    said = section(pages, "index.html", "head")
    assert "The newest is commit 5" in said
    assert "It waits for reviews by sites, on images of their own, as does the commit before it." in said
    assert "Stable is commit 3 , what people get who name no commit: nobody came since" in said


def test_a_tag_that_the_forge_did_not_sign_is_told_and_names_nothing(pages: Site) -> None:
    said = section(pages, "index.html", "head")
    assert "A tag is left out: " in said
    assert "forged" in said
    assert "good" not in said
    assert "recommends" not in said
    assert "forged is no tag of this forge's, and names nothing" in page(pages, "journal/1.html").text
    assert "is called good from now on" in page(pages, "journal/1.html").text
    assert "forged" not in page(pages, "commit/1.html").text


def test_a_commit_shows_what_each_site_counted_and_what_followed(pages: Site) -> None:
    harmed = next(one for one in page(pages, "commit/2.html").find("section") if one.attributes.get("id") == "reviews")
    assert "It was found harmful, for branch 2" in harmed.text
    rows = [[cell.text for cell in row.find("th", "td")] for row in harmed.find("tr")]
    assert rows[1] == ["ann", "lung", "100", "20", "60", "0", "7", "0"]
    begun = next(one for one in page(pages, "commit/1.html").find("section") if one.attributes.get("id") == "reviews")
    assert [cell.text for cell in begun.find("tr")[1].find("td")][3:] == ["–"] * 4
    assert "went live" in begun.text
    assert not [one for one in page(pages, "commit/4.html").find("section") if one.attributes.get("id") == "reviews"]


def test_a_held_branch_leads_to_the_evidence(pages: Site) -> None:
    why = next(one for one in page(pages, "branch/2.html").find("section") if one.attributes.get("id") == "why")
    assert "Sites see harm on their own images" in why.text
    assert "What every site counted: commit 2" in why.text
    assert "../commit/2.html" in [link.attributes["href"] for link in why.find("a")]


def test_a_forge_that_nobody_reviews_says_so(site: Site) -> None:
    assert "Nobody reviews this forge, so the newest commit is what people get" in section(site, "index.html", "head")
