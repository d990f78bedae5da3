"""Branches and tasks that say nothing, or deceive who reads them, are refused whatever way they come in."""

from collections.abc import Callable
from typing import Any

import pytest

from medforge.aggregator.forge.admission import check_manifest
from medforge.aggregator.forge.class_file import read_classes
from medforge.aggregator.forge.policy import Policy
from medforge.base_module import BaseModule
from medforge.declared_task import DeclaredTask, check_joins
from medforge.errors import InvalidBranch, InvalidInput
from medforge.manifest import Manifest
from tests.making import make_branch

# of no width, a soft hyphen, turning the direction of writing (embedding and isolate), fillers, a tag, blank braille
UNSEEN = "\u200b\u200d\u00ad\u202e\u2066\u3164\U000e0041\u2800\ufeff"
ALIKE = [
    ("benign", "BENIGN"),
    ("benign", " benign "),
    ("benign", "ｂｅｎｉｇｎ"),
    ("benign tissue", "benign  tissue"),
    ("benign", "b\u0435nign"),  # Cyrillic ie
    ("benign", "ben\u0456gn"),  # Ukrainian i
    ("type I", "type l"),
    ("type I", "type 1"),
    ("ﬁne", "fine"),
    ("Ä", "A\u0308"),
]
APART = [("a typical cell", "atypical cell"), ("non-small", "small"), ("T1", "T2"), ("grade 1", "grade 11")]


def manifest(base: BaseModule, **fields: Any) -> Manifest:
    return make_branch(base).manifest.model_copy(update=fields)


def by_manifest(base: BaseModule, prompts: tuple[str, str]) -> None:
    check_manifest(manifest(base, prompts=prompts), Policy(), 0)


def by_declaring(base: BaseModule, prompts: tuple[str, str]) -> None:
    DeclaredTask.make("lung", [("a", prompts[0]), ("b", prompts[1])])


def by_a_branch_that_declares(base: BaseModule, prompts: tuple[str, str]) -> None:
    DeclaredTask.of(manifest(base, prompts=prompts, classes=("a", "b")))


def by_extending(base: BaseModule, prompts: tuple[str, str]) -> None:
    one = DeclaredTask.make("task", [("a", prompts[0]), ("z", "something else")])
    branch = manifest(base, prompts=prompts, classes=("a", "b"))
    one.extended(branch).places(branch)


def by_keys(base: BaseModule, prompts: tuple[str, str]) -> None:
    check_manifest(manifest(base, classes=prompts), Policy(), 0)


def by_declared_keys(base: BaseModule, prompts: tuple[str, str]) -> None:
    DeclaredTask.make("lung", [(prompts[0], "one"), (prompts[1], "two")])


WAYS = [by_manifest, by_declaring, by_a_branch_that_declares, by_extending, by_keys, by_declared_keys]


@pytest.mark.parametrize("way", WAYS)
def test_classes_that_are_one_to_a_reader_are_refused(
    tiny_base: BaseModule, way: Callable[[BaseModule, tuple[str, str]], None]
) -> None:
    for pair in ALIKE:
        said = r"the same to a reader|two of its classes|twice|use the task's keys"
        with pytest.raises((InvalidBranch, InvalidInput), match=said):
            way(tiny_base, pair)
    for pair in APART:
        way(tiny_base, pair)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("character", UNSEEN, ids=lambda character: f"U+{ord(character):04X}")
def test_what_nobody_sees_is_refused(
    tiny_base: BaseModule, way: Callable[[BaseModule, tuple[str, str]], None], character: str
) -> None:
    with pytest.raises((InvalidBranch, InvalidInput), match=f"U\\+{ord(character):04X}, which nobody sees"):
        way(tiny_base, ("benign", f"malig{character}nant"))


def test_no_text_of_a_manifest_turns_a_terminals_line(tiny_base: BaseModule) -> None:
    turned = "a\u202eb"
    for fields in (
        {"modality": turned},
        {"recipe": turned},
        {"base_spec": turned},
        {"validation": {turned: 0.5}},
        {"software": {turned: "1"}},
        {"software": {"torch": turned}},
        {"split": turned},
        {"together": turned},
    ):
        with pytest.raises(InvalidBranch, match=r"U\+202E, which nobody sees"):
            check_manifest(manifest(tiny_base, **fields), Policy(), 0)
    with pytest.raises(InvalidInput, match="the modality .* nobody sees"):
        DeclaredTask.make("lung", [("a", "one"), ("b", "two")], turned)


def test_another_tasks_prompt_in_look_alike_letters_is_refused() -> None:
    lung = DeclaredTask.make("lung", [("a", "benign lung"), ("b", "malignant lung")])
    other = DeclaredTask.make("other", [("a", "b\u0435nign lung"), ("b", "something")])
    with pytest.raises(InvalidInput, match="of tasks 'lung' and 'other' read the same"):
        check_joins(other, [lung])


def test_a_class_file_is_read_as_everything_else(tmp_path: Any) -> None:
    path = tmp_path / "classes.csv"
    path.write_text("key,prompt\na,benign\nb,b\u0435nign\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="the same to a reader"):
        DeclaredTask.make("lung", [(one.key, one.prompt) for one in read_classes(path)])
