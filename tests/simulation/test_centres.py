"""What the user asks for with --centre."""

import pytest

from medforge.client.data.catalogue import names
from medforge.errors import InvalidInput
from medforge.simulation.centres import parse_centres


def test_no_centre_means_three_drawn_tissues() -> None:
    assert [(c.name, c.source) for c in parse_centres([], list(names()))] == [
        ("breast", "tissue:breast"),
        ("lung", "tissue:lung"),
        ("colon", "tissue:colon"),
    ]


def test_a_path_may_hold_colons_and_equal_signs() -> None:
    (centre,) = parse_centres(["a=folder:/data/x=1:y,threads=2"], ["folder"])
    assert (centre.name, centre.source) == ("a", "folder:/data/x=1:y,threads=2")


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        (["lung"], "'lung' is not of the form NAME=SOURCE:PATH; write for example lung=tissue:lung"),
        (["lung=tissue"], "is not of the form NAME=SOURCE:PATH"),
        (["=tissue:lung"], "is not of the form NAME=SOURCE:PATH"),
        (["../x=tissue:lung"], "the name '../x' cannot be used"),
        (
            ["a=tissue:lung", "b=tissue:colon", "a=tissue:breast"],
            "--centre a is given twice; give every centre its own name",
        ),
        (["a=tissue:lung", "A=tissue:colon"], "--centre A is given twice"),
        (["a=tissues:lung"], "--centre a: unknown source 'tissues'; choose one of breakhis, "),
    ],
)
def test_an_unusable_centre_is_refused(texts: list[str], sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_centres(texts, list(names()))
    assert sentence in str(caught.value)
