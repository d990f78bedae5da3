"""Declared tasks: which classes a branch covers, and which prompts are one prompt."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.declared_task import DeclaredTask, check_apart
from medforge.errors import InvalidBranch, InvalidInput
from medforge.manifest import Manifest
from medforge.prompt_form import class_key, normal_form
from tests.making import make_branch

LUNG = DeclaredTask.make("lung", [("aca", "lung adenocarcinoma"), ("n", "normal lung"), ("scc", "squamous lung")], "CT")


def _manifest(base: BaseModule, *prompts: str, **more: object) -> Manifest:
    fields = make_branch(base, task="lung").manifest.model_dump()
    return Manifest.model_validate({**fields, "prompts": prompts, **more})


@pytest.mark.parametrize(
    "spelling",
    [
        "Lung Adenocarcinoma",
        "  lung\tadenocarcinoma ",
        "lung\u00a0adenocarcinoma",
        "lung\u200b adeno\u00adcarcinoma",
        "ｌｕｎｇ adenocarcinoma",
        "lung adenocarcinoma\ufe0f",
        "\u202elung adenocarcinoma",
        "lung\u2800adenocarcinoma",
        "lung\u180b adeno\u17b4carcinoma",
    ],
)
def test_what_people_read_as_one_text_is_one(spelling: str) -> None:
    assert normal_form(spelling) == "lung adenocarcinoma"


def test_a_mark_belongs_to_its_letter_across_what_nobody_sees() -> None:
    assert normal_form("o\u034f\u0308dem") == normal_form("o\u200b\u0308dem") == "ödem"


@given(st.text())
def test_the_normal_form_is_its_own(text: str) -> None:
    assert normal_form(normal_form(text)) == normal_form(text)
    assert normal_form(unicodedata.normalize("NFD", text)) == normal_form(text)


def test_a_class_that_nobody_named_is_called_by_its_prompt() -> None:
    assert class_key("Chest X-ray, normal") == "chest-x-ray-normal"
    assert class_key("¿?") == "class"


def test_a_branch_may_cover_some_classes_in_its_own_order(tiny_base: BaseModule) -> None:
    assert LUNG.places(_manifest(tiny_base, "Squamous  lung", "lung adenocarcinoma")) == (2, 0)
    keyed = _manifest(tiny_base, "normal lung", "squamous lung", classes=("N", "scc"))
    assert LUNG.places(keyed) == (1, 2)


def test_classes_that_do_not_fit_are_named(tiny_base: BaseModule) -> None:
    with pytest.raises(InvalidBranch, match="no class with the prompt 'benign'; its prompts are 'lung adeno"):
        LUNG.places(_manifest(tiny_base, "normal lung", "benign"))
    with pytest.raises(InvalidBranch, match="names class 'n' of task 'lung' twice"):
        LUNG.places(_manifest(tiny_base, "normal lung", "Normal Lung"))
    with pytest.raises(InvalidBranch, match="'aca', which task 'lung' calls 'n'; use the task's keys"):
        LUNG.places(_manifest(tiny_base, "normal lung", "squamous lung", classes=("aca", "scc")))


def test_a_task_declared_by_a_branch_is_extended_by_another(tiny_base: BaseModule) -> None:
    first = DeclaredTask.of(_manifest(tiny_base, "normal lung", "lung adenocarcinoma"))
    assert first.keys == ("normal-lung", "lung-adenocarcinoma")
    assert first.extended(_manifest(tiny_base, "Normal lung", "lung adenocarcinoma")) is first
    more = first.extended(_manifest(tiny_base, "squamous lung", "normal lung", modality="histology"))
    assert more.prompts == ("normal lung", "lung adenocarcinoma", "squamous lung")
    assert more.modality == "histology"


def test_a_declaration_is_read_back() -> None:
    assert DeclaredTask.model_validate_json(LUNG.to_bytes()) == LUNG


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        ([("a", "one thing")], "at least 2"),
        ([("a", "one thing"), ("A", "another")], "two of its classes have the key 'a'"),
        ([("a", "one thing"), ("b", "One  thing")], "two of its classes have the prompt 'one thing'"),
        ([("a", "one thing"), ("b", "\u200b")], "in which nothing can be read"),
        ([("a", "one thing"), ("b", "two\nthings")], "its prompt holds a character that cannot be seen"),
    ],
)
def test_classes_that_are_none_are_refused(classes: list[tuple[str, str]], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        DeclaredTask.make("lung", classes)


def test_no_two_tasks_share_a_name_or_a_prompt() -> None:
    other = DeclaredTask.make("bowel", [("n", "NORMAL LUNG"), ("aca", "colon adenocarcinoma")])
    with pytest.raises(InvalidInput, match="of tasks 'lung' and 'bowel' read the same; word them differently"):
        check_apart([LUNG, other])
    with pytest.raises(InvalidInput, match="there is a task 'lung' already"):
        check_apart([LUNG, LUNG])


def test_no_two_tasks_share_what_the_base_takes_for_one_prompt(tiny_base: BaseModule) -> None:
    # a context is cut where it ends, and what comes after it is not seen
    long = "lung " * 190
    one = DeclaredTask.make("one", [("a", long + "left"), ("b", "normal lung")])
    other = DeclaredTask.make("other", [("a", long + "right"), ("b", "colon")])
    check_apart([one, other])
    with pytest.raises(InvalidInput, match="are the same to the base module"):
        check_apart([one, other], tiny_base)


def test_honest_prompts_differ_to_the_embedded_base() -> None:
    base = load_base("medforge-tiny", device="cpu")
    prompts = ["lung adenocarcinoma", "lung adenocarcinoma.", "chest x-ray: normal", "chest x-ray, normal", "melanoma"]
    tasks = [DeclaredTask.make(f"t{n}", [("a", prompt), ("b", f"no {prompt}")]) for n, prompt in enumerate(prompts)]
    check_apart(tasks, base)
