"""What a site compares with: the live commit that did best on its images, while nobody of it had to leave."""

from pathlib import Path

import pytest

from medforge.client.review.memory import ReviewMemory
from medforge.client.review.question import Question, ReviewedCommit
from medforge.errors import CorruptFile
from medforge.proto.signed_review import Review
from tests.aggregator.main_branch.reviewing.making import review
from tests.client.tasks import make_split

SPLIT = make_split(12, 2)
FORGE = "a forge"


def question(live: list[str], stable: str) -> Question:
    commits = {name: ReviewedCommit(name, place, (), "t", "c", None, {}, place) for place, name in enumerate("abcd", 1)}
    return Question(FORGE, "base", commits, commits[stable], None, (), frozenset(live), {}, True)


def remember(path: Path, right: dict[str, int]) -> ReviewMemory:
    ReviewMemory.load(path, FORGE, SPLIT).save(path, right)
    return ReviewMemory.load(path, FORGE, SPLIT)


def test_many_small_losses_are_compared_with_the_best_and_not_with_the_last(tmp_path: Path) -> None:
    memory = remember(tmp_path / "reviews.json", {"a": 95, "b": 93, "c": 91})
    assert memory.best(question(["a", "b", "c"], "c"), {"a", "b", "c"}).digest == "a"
    # of what is as good the newest, and nothing that never went live or that somebody had to leave
    assert (
        remember(tmp_path / "reviews.json", {"b": 95}).best(question(["a", "b", "c"], "c"), {"a", "b", "c"}).digest
        == "b"
    )
    assert memory.best(question(["b", "c"], "c"), {"b", "c"}).digest == "b"
    assert memory.best(question(["d"], "d"), {"d"}).digest == "d"


def test_other_images_or_another_forge_are_another_memory(tmp_path: Path) -> None:
    path = tmp_path / "reviews.json"
    remember(path, {"a": 12})
    assert ReviewMemory.load(path, FORGE, make_split(10, 2)).right == {}
    assert ReviewMemory.load(path, "another", SPLIT).right == {}
    path.write_text("{}")
    with pytest.raises(CorruptFile, match="cannot be read; delete it and review again"):
        ReviewMemory.load(path, FORGE, SPLIT)


def test_what_was_best_is_never_forgotten(tmp_path: Path) -> None:
    memory = remember(tmp_path / "reviews.json", {"best": 1000} | {str(n): n for n in range(400)})
    assert len(memory.right) == 200
    assert memory.right["best"] == 1000


def lungs(stable: str, own: dict[str, Review] | None = None) -> Question:
    """Four commits: arrivals 1, 2 and 4 are of lung, of ann, bob and cat, 3 of colon, of dan."""
    who = (("ann", "lung"), ("bob", "lung"), ("dan", "colon"), ("cat", "lung"))
    commits = {
        name: ReviewedCommit(name, place, tuple(range(1, place + 1)), task, contributor, None, {}, place)
        for place, (name, (contributor, task)) in enumerate(zip("abcd", who, strict=True), 1)
    }
    return Question(FORGE, "base", commits, commits[stable], None, (), frozenset("ab"), own or {}, True)


def test_what_a_tasks_own_branches_cost_is_not_held_against_another_tasks() -> None:
    asked = lungs("b")
    assert asked.comparable(asked.commits["c"], "lung") == {"b"}
    assert asked.comparable(asked.commits["d"], "lung") == {"a", "b"}
    assert asked.comparable(asked.commits["c"], "eye") == {"a", "b"}


def test_a_site_begins_with_the_first_commit_that_has_its_own_branch_in_it() -> None:
    spoken = {"a": review("bob", "a" * 64)}
    asked = lungs("b", spoken)
    assert asked.begins(asked.commits["b"], "bob", "lung")
    assert not asked.begins(asked.commits["a"], "bob", "lung")
    assert not asked.begins(asked.commits["b"], "bob", "colon")
    again = lungs("b", spoken | {"b": review("bob", "b" * 64)})
    assert not again.begins(again.commits["c"], "bob", "lung")
