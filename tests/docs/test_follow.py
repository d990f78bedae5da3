"""The how-tos of those who run a forge and who join it hold word for word, and the script that follows them notices."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.follow.following import Followers
from tests.docs.follow.places import Place, places
from tests.docs.follow.steps import LeftOut, Typed, steps_of
from tests.docs.follow.terminal import Differs, compare, pattern_of
from tests.docs.pages import ROOT, blocks

PAGES = [
    ROOT / "docs" / f"{name}.md"
    for name in ("how-to-run-a-forge", "how-to-join-as-a-hospital", "how-to-back-up-and-upgrade")
]
SECONDS = 1500  # beside other work; alone about three minutes


@pytest.mark.timeout(SECONDS)
def test_the_pages_hold_word_for_word() -> None:
    with places() as found:
        followers = Followers(found, lambda said: print(said, flush=True))
        followers.follow(PAGES)
    assert followers.left_out


def test_every_block_of_theirs_is_typed_or_left_out_with_a_reason() -> None:
    for page in PAGES:
        steps = [step for step in steps_of(page) if isinstance(step, Typed | LeftOut)]
        assert [step.text for step in steps] == [one.text for one in blocks(page) if one.language in ("sh", "bash")]
        assert all(len(step.reason) > 10 for step in steps if isinstance(step, LeftOut))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    home, notes = tmp_path / "home", tmp_path / "notes"
    home.mkdir()
    notes.mkdir()
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    made = Place((), home, {"HOME": str(home), "PATH": path}, notes)
    yield made
    made.close()


def follow(place: Place, tmp_path: Path, *texts: str) -> tuple[list[str], Followers]:
    pages = []
    for number, text in enumerate(texts):
        pages.append(tmp_path / f"page-{number}.md")
        pages[-1].write_text("<!-- follow: at=here -->\n\n" + text)
    said: list[str] = []
    followers = Followers({"here": place}, said.append)
    followers.follow(pages)
    return said, followers


def test_a_terminal_keeps_its_variables_and_its_directory(place: Place, tmp_path: Path) -> None:
    text = "```sh\nmkdir there; cd there; NAME=lung\n```\n\n```sh\necho $NAME ${PWD##*/}\n```\n\n```text\nlung …\n```\n"
    assert any("lung there" in one for one in follow(place, tmp_path, text)[0])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```sh\nfalse\ntrue\n```\n", "page-0.md:3 .* ends with 1"),
        ("```sh\nfalse | cat\n```\n", "ends with 1"),
        ("```sh\necho one\n```\n\n```text\ntwo\n```\n", "prints\none\n\nnot\ntwo"),
        ("```sh\necho 'x.py:1: UserWarning: hm' >&2\n```\n", "shows what no reader should see"),
        ("```sh terminal=other\nsleep 60\n```\n", "does not say what shows that it is ready"),
        ("```sh terminal=other\necho up; false\n```\n\n```text\ndown\n```\n", "shows\nup"),
        ("<!-- follow: hand-over it from=nowhere -->\n", "there is no nowhere to hand over"),
        ("<!-- follow: wait-for it -->\n", "none of these pages hands over what is waited for: page-0.md:3 for it"),
    ],
)
def test_what_does_not_go_as_the_page_says_is_said(place: Place, tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(Differs, match=complaint):
        follow(place, tmp_path, text)


@pytest.mark.parametrize(
    "text", ["```sh of=it\ntrue\n```\n", "<!-- follow: jump over -->\n", "<!-- follow: ctrl-c -->\n"]
)
def test_what_the_script_does_not_know_is_never_passed_over(place: Place, tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="which nobody understands"):
        follow(place, tmp_path, text)


def test_a_block_without_a_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("```sh\ntrue\n```\n")
    with pytest.raises(ValueError, match="page.md:1 says nowhere at which place"):
        steps_of(tmp_path / "page.md")


def test_what_runs_on_ends_by_ctrl_c_and_the_terminal_goes_on(place: Place, tmp_path: Path) -> None:
    begin = "```sh terminal=other\nNAME=kept\necho ready; sleep 60 || true\n```\n\n```text\nready\n```\n\n"
    again = "```sh terminal=other\necho $NAME\n```\n\n```text\nkept\n```\n"
    follow(place, tmp_path, begin + "<!-- follow: ctrl-c other -->\n\n" + again)


def test_people_wait_for_each_other(place: Place, tmp_path: Path) -> None:
    first = "<!-- follow: wait-for letter to=read -->\n\n```sh\ncat read\n```\n\n```text\nhello\n```\n"
    second = "```sh\necho hello > written\n```\n\n<!-- follow: hand-over letter from=written -->\n"
    follow(place, tmp_path, first, second)


def test_what_is_left_out_is_kept_with_its_reason(place: Place, tmp_path: Path) -> None:
    _, followers = follow(place, tmp_path, '```sh not-followed="needs systemd"\nfalse\n```\n')
    assert [(one.where, one.reason, one.text) for one in followers.left_out] == [
        ("page-0.md:3", "needs systemd", "false\n")
    ]


def test_an_ellipsis_stands_for_what_differs() -> None:
    compare("kit of A, until 2028  \nthe end\n", "kit of …, until …\n…\n")
    compare("a\nb\nc\n", "…\nc\n")
    with pytest.raises(Differs):
        compare("a\nb\n", "a …\n")
    assert pattern_of("up\n", goes_on=True).fullmatch("up\nand more")
