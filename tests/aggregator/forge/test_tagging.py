"""Names that the maintainer gives commits: signed, in the journal, for good."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.forge.names import find_commit
from medforge.aggregator.forge.tagging import tag_commit, verified_tags
from medforge.aggregator.ledger.log_page import LogTable
from medforge.aggregator.ledger.order import LedgerConflict
from medforge.aggregator.upgrade.upgrading import upgrade
from medforge.base_module import BaseModule
from medforge.errors import CorruptFile, InvalidInput, MedForgeError
from medforge.proto.codec import tag_from_message, tag_to_message
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed, NotFound
from medforge.proto.names import check_tag_name
from medforge.proto.remote import RemoteForge
from medforge.proto.signing import new_key, public_bytes
from tests.aggregator.altering import alter_tags
from tests.aggregator.forges import branches, settings_of
from tests.aggregator.serving import serving, wait_until_folded

RECORDED = Path(__file__).parents[2] / "recorded" / "forge-0.1.0"


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    """A forge that 0.1.0 made, with three commits."""
    directory = shutil.copytree(RECORDED, tmp_path / "forge")
    for path in (directory, *directory.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)
    upgrade(directory)
    opened = Forge.open(directory)
    yield opened
    opened.close()


def test_a_tag_names_a_commit_for_good_also_in_a_forge_of_0_1_0(forge: Forge) -> None:
    commits = [commit for _, commit in forge.ledger.commits()]
    first = tag_commit(forge, "before", "1")
    newest = tag_commit(forge, "v1.0", None, release=True, notes="reviewed\nby three sites")
    again = tag_commit(forge, "also", "before")
    assert verified_tags(forge) == {"before": first, "v1.0": newest, "also": again}
    assert [one.commit for one in (first, newest, again)] == [
        one.digest for one in (commits[0], commits[2], commits[0])
    ]
    assert find_commit(LogTable(forge.ledger), "before", verified_tags(forge)) == commits[0]
    for name, digest in (("before", "2"), ("v1.0", "1")):
        with pytest.raises(LedgerConflict, match=f"tag '{name}' names commit .* no tag is ever moved; choose another"):
            tag_commit(forge, name, digest)
    told = [json.loads(entry.about) for entry in forge.ledger.journal() if entry.what == "tagged"]
    assert [(about["name"], about["commit"]) for about in told][:2] == [
        ("before", commits[0].digest),
        ("v1.0", commits[2].digest),
    ]
    assert not [problem for check in check_forge(forge) for problem in check.problems]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a b", "'a b' cannot be a tag; use 1 to 64 ASCII"),
        ("", "'' cannot be a tag"),
        ("-v1", "cannot be a tag; .* begin with a letter or digit"),
        ("v" * 65, "cannot be a tag"),
        ("Köln", "cannot be a tag"),
        ("v1\n", "cannot be a tag"),
        ("12", "'12' is an arrival's number; choose another name, such as v12"),
        ("c0ffee00", "looks like a digest"),
        ("A" * 64, "looks like a digest"),
        ("HEAD", "means another commit after every arrival"),
        ("tissue-lung", "'tissue-lung' is a task, and commits are named by tasks too"),
    ],
)
def test_what_would_be_taken_for_something_else_cannot_be_a_tag(forge: Forge, name: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        tag_commit(forge, name, None)
    assert verified_tags(forge) == {}


def test_a_name_of_letters_and_digits_may_be_short_and_hexadecimal() -> None:
    for name in ("v1.0", "2026-11-26", "abc", "face", "rc1+fix", "decade1x"):
        assert check_tag_name(name) == name


def test_what_is_no_commit_or_no_notes_gets_a_sentence(forge: Forge) -> None:
    with pytest.raises(NotFound, match="no commit is called 'nope'"):
        tag_commit(forge, "v1", "nope")
    with pytest.raises(InvalidInput, match="the notes have 4001 characters where 4000 are admitted; shorten them"):
        tag_commit(forge, "v1", None, notes="n" * 4001)
    for notes in ("\x1b[31m", "half a pair \ud800"):
        with pytest.raises(InvalidInput, match="characters that cannot be shown"):
            tag_commit(forge, "v1", None, notes=notes)


def test_an_empty_main_branch_can_be_tagged_and_not_released(tmp_path: Path, tiny_base: BaseModule) -> None:
    empty = Forge.establish(tmp_path / "empty", tiny_base, settings_of("mixture", "output", "gated"))
    with pytest.raises(NotFound, match="has no commit yet"):
        tag_commit(empty, "v1", None)
    empty.close()


def test_a_tag_that_was_altered_in_the_ledger_is_noticed(forge: Forge) -> None:
    tag_commit(forge, "v1", "1")
    sound = tag_commit(forge, "sound", "2")
    other = forge.ledger.commits()[2][1].digest
    alter_tags(forge.ledger, forge.ledger.commits()[0][1].digest, other)
    reopened = Forge.open(forge.directory)
    tags = verified_tags(reopened)
    assert tags == {"sound": sound}
    with pytest.raises(NotAllowed, match="tag 'v1' is not signed by the forge's key"):
        find_commit(LogTable(reopened.ledger), "v1", tags)
    problems = [problem for check in check_forge(reopened) for problem in check.problems]
    assert any("tag 'v1' is not signed" in problem for problem in problems)
    assert any("of the journal was altered" in problem for problem in problems)
    alter_tags(forge.ledger, other, "none")
    again = Forge.open(forge.directory)
    (name,) = verified_tags(again).refused
    with pytest.raises(CorruptFile, match=f"{name} of the journal is no tag; run `medforge fsck`"):
        verified_tags(again).named(name)
    assert verified_tags(again) == {"sound": sound}
    problems = [problem for check in check_forge(again) for problem in check.problems]
    assert any(f"{name} of the journal is no tag" in problem for problem in problems)


def test_readers_are_told_tags_and_check_them(tmp_path: Path, tiny_base: BaseModule) -> None:
    with serving(tmp_path / "forge", tiny_base) as (served, at):
        served.admit(branches(tiny_base, 1)[0], tiny_base)
        with RemoteForge(Connection(at)) as remote:
            assert remote.tags() == {}  # what a forge of 0.1.0 says too: nothing
            wait_until_folded(served, 1)
            given = tag_commit(served, "v1.0", "head", release=True, notes="for all")
            assert remote.tags() == {"v1.0": given}
            described = remote.describe()
            described.tags[0].commit = "0" * 64
            also = described.tags.add()
            also.CopyFrom(tag_to_message(tag_commit(served, "v1.1", "head")))
            tags = remote.tags(described)
            assert list(tags) == ["v1.1"]
            with pytest.raises(NotAllowed, match="tag 'v1.0' is not signed"):
                tags.named("v1.0")
            described.tags[0].commit = "no digest"
            with pytest.raises(CorruptFile, match=r"a tag \('v1.0'\) with no valid commit"):
                remote.tags(described).named("v1.0")


def test_a_tag_of_another_forge_or_without_a_field_is_refused(forge: Forge) -> None:
    message = tag_to_message(tag_commit(forge, "v1", "1"))
    key = public_bytes(forge.key)
    assert tag_from_message(message, forge.settings.forge, key).name == "v1"
    cases: list[tuple[str, bytes, type[MedForgeError]]] = [
        ("another", key, NotAllowed),
        (forge.settings.forge, public_bytes(new_key()), NotAllowed),
    ]
    for told, known, error in cases:
        with pytest.raises(error, match="is not signed by the forge's key"):
            tag_from_message(message, told, known)
    message.name = "\x1b[31m"
    with pytest.raises(CorruptFile, match="with no valid name"):
        tag_from_message(message, forge.settings.forge, key)
