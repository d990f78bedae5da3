"""What the user asks for with --centre."""

import pytest

from medforge.client.data.catalogue import names
from medforge.errors import InvalidInput
from medforge.simulation.centres import Centre, leaking, leaks_said, parse_centres, tasks_of


def test_no_centre_means_three_drawn_tissues() -> None:
    assert [(c.name, c.source) for c in parse_centres([], list(names()))] == [
        ("breast", "tissue:breast"),
        ("lung", "tissue:lung"),
        ("colon", "tissue:colon"),
    ]


def test_a_centre_may_say_its_task() -> None:
    given = ["a=lung@tissue:lung", "b=lung@folder:/x", "lung=tissue:colon", "d=brain.2@folder:y@z=w"]
    centres = parse_centres(given, list(names()))
    assert [(c.name, c.task, c.source) for c in centres] == [
        ("a", "lung", "tissue:lung"),
        ("b", "lung", "folder:/x"),
        ("lung", "lung", "tissue:colon"),
        ("d", "brain.2", "folder:y@z=w"),
    ]
    assert [centre.spell() for centre in centres] == given
    assert tasks_of(centres) == {"lung": ("a", "b", "lung"), "brain.2": ("d",)}


def test_a_centre_of_an_older_run_answers_a_task_of_its_own_name() -> None:
    centre = Centre.model_validate_json('{"name": "lung", "source": "tissue:lung"}')
    assert centre == Centre(name="lung", source="tissue:lung", task="lung")


def test_a_division_puts_several_centres_of_one_task_in_the_place_of_one() -> None:
    centres = parse_centres(
        ["a=tissue:lung,train=90", "b=brain@folder:x"], list(names()), ["brain=2:look", "a=3:dirichlet:0.3"]
    )
    assert [centre.spell() for centre in centres] == [
        "a-1=a@tissue:lung,train=90,by=dirichlet:0.3,part=1/3",
        "a-2=a@tissue:lung,train=90,by=dirichlet:0.3,part=2/3",
        "a-3=a@tissue:lung,train=90,by=dirichlet:0.3,part=3/3",
        "b-1=brain@folder:x,by=look,part=1/2",
        "b-2=brain@folder:x,by=look,part=2/2",
    ]
    assert parse_centres([centre.spell() for centre in centres], list(names())) == centres


@pytest.mark.parametrize(
    ("divide", "sentence"),
    [
        (["lung"], "--divide 'lung' is not of the form CENTRE=SITES:WAY; write for example lung=4:iid"),
        (["lung=4:age"], "--divide lung: there is no way 'age' to divide images; choose iid"),
        (["lung=1:iid"], "--divide lung: images cannot be divided over 1 sites"),
        (["liver=4:iid"], "--divide liver: there is no such centre; the centres are a, b, lung-2, brain"),
        (["lung=4:iid"], "--divide lung: this task has several centres; name one of a, b"),
        (["brain=2:iid", "brain=4:look"], "--divide brain is given twice; divide every centre once"),
        (["lung-2=2:iid", "a=2:look", "lung-2=2:iid"], "--divide lung-2 is given twice"),
    ],
)
def test_an_unusable_division_is_refused(divide: list[str], sentence: str) -> None:
    given = ["a=lung@tissue:lung", "b=lung@tissue:lung", "lung-2=tissue:colon", "brain=tissue:breast"]
    with pytest.raises(InvalidInput) as caught:
        parse_centres(given, list(names()), divide)
    assert sentence in str(caught.value)


def test_a_site_may_not_have_another_centre_s_name() -> None:
    with pytest.raises(InvalidInput, match="--centre lung-2 is given twice"):
        parse_centres(["lung=tissue:lung", "lung-2=tissue:colon"], list(names()), ["lung=2:iid"])


def test_leaks_are_allowed_by_name_and_said() -> None:
    centres = parse_centres(["a=folder:/data,groups=g.csv", "b=folder:/other,leaks=allowed"], ["folder"])
    assert leaks_said(centres[:1]) == []
    assert [centre.source for centre in leaking(centres)] == [
        "folder:/data,groups=g.csv,leaks=allowed",
        "folder:/other,leaks=allowed",
    ]
    (said,) = leaks_said(leaking(centres))
    assert said.startswith("a, b: the same picture may be in two splits or classes (leaks=allowed)")


def test_a_path_may_hold_colons_and_equal_signs() -> None:
    (centre,) = parse_centres(["a=folder:/data/x=1:y,threads=2"], ["folder"])
    assert (centre.name, centre.source) == ("a", "folder:/data/x=1:y,threads=2")


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (
            ["lung"],
            "'lung' is not of the form NAME=SOURCE:PATH or NAME=TASK@SOURCE:PATH; write for example lung=tissue:lung",
        ),
        (["lung=tissue"], "is not of the form NAME=SOURCE:PATH"),
        (["=tissue:lung"], "is not of the form NAME=SOURCE:PATH"),
        (["../x=tissue:lung"], "the name '../x' cannot be used"),
        (["a=../x@tissue:lung"], "the task '../x' cannot be used"),
        (["a=@tissue:lung"], "is not of the form NAME=SOURCE:PATH"),
        (["a=lung@:x"], "is not of the form NAME=SOURCE:PATH"),
        (["a=x@lung@tissue:lung"], "the task 'x@lung' cannot be used"),
        (
            ["a=tissue:lung", "b=tissue:colon", "a=tissue:breast"],
            "--centre a is given twice; give every centre its own name",
        ),
        (["a=tissue:lung", "A=tissue:colon"], "--centre A is given twice"),
        (["site-1=tissue:lung", "site_l=tissue:colon"], "--centre site_l reads like --centre site-1; give centres"),
        (["maintainer=tissue:lung"], "--centre maintainer: 'maintainer' cannot be a contributor's name"),
        (["a=tissues:lung"], "--centre a: unknown source 'tissues'; choose one of breakhis, "),
    ],
)
def test_an_unusable_centre_is_refused(texts: list[str], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_centres(texts, list(names()))
    assert sentence in str(caught.value)
