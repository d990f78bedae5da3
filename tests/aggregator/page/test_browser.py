"""The pages in a real browser: from a disk and live, on a phone and on a desk, by day and by night."""

import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from medforge.aggregator.page.addresses import branch_page, commit_page, contributor_page, task_page
from medforge.aggregator.page.site import Site
from medforge.aggregator.page.static_site import write_site
from medforge.base_module import BaseModule
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge
from tests.aggregator.page.browsing import Visitor, browsing, needs_chromium
from tests.aggregator.page.shown_forge import HOSTILE_NAME, ShownForge
from tests.aggregator.serving import Served, upload
from tests.making import make_branch

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all of these tests."""
    with browsing() as opened:
        yield opened


@pytest.fixture(scope="module")
def on_disk(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as files."""
    directory = tmp_path_factory.mktemp("browsed") / "site"
    write_site(site, directory)
    return directory


@pytest.mark.parametrize(("width", "dark"), [(420, True), (1400, False)], ids=["phone, dark", "desk, light"])
def test_every_page_fits_and_runs_nothing_that_somebody_wrote(
    browser: Browser, site: Site, on_disk: Path, shown: ShownForge, width: int, dark: bool
) -> None:
    visitor = Visitor(browser, on_disk.as_uri(), width, dark)
    numbers = shown.numbers
    # a page of each kind, and those on which hostile names stand
    paths = [path for path in site.paths() if path.endswith(".html") and "/" not in path]
    paths += ["timeline/1.html", "journal/1.html", *map(task_page, ("odd", "lung")), contributor_page("img")]
    paths += [branch_page(numbers[name]) for name in ("held", "undeclared", "hostile", "kept out")]
    paths += [commit_page(len(site.view.history.rounds)), "search.html?q=odd"]
    background = set()
    for path in paths:
        visitor.page.goto(f"{on_disk.as_uri()}/{path}")
        assert visitor.overhang == 0, path
        background.add(visitor.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert background == {"rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)"}
    visitor.close()


def test_somebody_clicks_through_and_searches(browser: Browser, on_disk: Path, shown: ShownForge) -> None:
    visitor = Visitor(browser, on_disk.as_uri())
    page = visitor.page
    page.goto(f"{on_disk.as_uri()}/index.html")
    page.get_by_role("link", name="what is held, and why").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Held branches")
    page.get_by_role("link", name=f"branch {shown.numbers['held']}", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("lung, from mirror")
    page.locator("#what").get_by_role("link", name="lung").click()
    expect(page.get_by_role("img", name="Accuracy on distilled images of lung")).to_be_visible()
    page.get_by_text("The numbers").click()
    page.get_by_role("link", name="commit 1", exact=True).click()
    expect(page.locator("pre")).to_contain_text("medforge checkout --kit KIT --commit")

    page.get_by_label("Search", exact=True).fill("SOHNE onerror")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=*")
    expect(page.get_by_role("status")).to_have_text("3 found")
    first = page.locator("#found a").first
    expect(first).to_have_text(f"{HOSTILE_NAME} (img)")
    first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{HOSTILE_NAME} (img)")
    visitor.close()


def test_the_keyboard_alone_will_do(browser: Browser, on_disk: Path) -> None:
    visitor = Visitor(browser, on_disk.as_uri())
    page = visitor.page
    page.goto(f"{on_disk.as_uri()}/index.html")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="To the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    assert page.evaluate("document.getElementById('main').contains(document.activeElement)")
    visitor.close()


def test_a_page_shows_a_branch_that_arrives_while_it_is_open(
    browser: Browser, shown: ShownForge, tiny_base: BaseModule, tiny_spec: str, tmp_path: Path
) -> None:
    directory = shutil.copytree(shown.directory, tmp_path / "forge")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        at = f"127.0.0.1:{probe.getsockname()[1]}"
    served = Served(directory, tiny_spec, "127.0.0.1:0", "--page", at)
    try:
        address = served.wait_ready()
        visitor = Visitor(browser, f"http://{at}/")
        page = visitor.page
        page.goto(f"http://{at}/")
        expect(page.get_by_role("status")).to_have_text(
            re.compile("This page keeps itself up to date|Brought up to date")
        )
        # a server under the standard policy folds what waited for a declared task
        expect(page.locator("#newest")).to_contain_text("by east for skin became part of the model")
        search = page.get_by_label("Search", exact=True)
        search.fill("half a wo")
        before = int(page.locator(".cards b").first.inner_text())

        branch = make_branch(tiny_base, 5, task="retina", contributor="late")
        with RemoteForge(Connection(address)) as remote:
            upload(remote, branch, tmp_path / "branch")
            remote.submit(branch.manifest.to_bytes())

        expect(page.get_by_role("link", name="retina").first).to_be_visible()
        expect(page.locator("#newest")).to_contain_text("by late for retina became part of the model")
        assert int(page.locator(".cards b").first.inner_text()) == before + 1
        # what somebody was about to write is still there
        expect(search).to_have_value("half a wo")
        expect(search).to_be_focused()
        visitor.close()
        assert served.stop() == 0
    finally:
        if served.process.alive:
            served.kill()
