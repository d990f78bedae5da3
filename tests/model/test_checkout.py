"""A checkout says what it is, to people and to programs, also to later versions."""

import json
from pathlib import Path

import pytest

import medforge
from medforge.base_module import BaseModule
from medforge.errors import CorruptFile, InvalidInput
from medforge.forge_item import ForgeItem, Routed
from medforge.model_card import ModelCard
from medforge.model_directory import load_model
from tests.model.conftest import HOSTILE

RECORDED = Path(__file__).resolve().parents[1] / "recorded" / "checkout-0.2.0"


def test_the_card_says_what_the_model_is(checkout: Path, tiny_base: BaseModule) -> None:
    card, item = load_model(checkout)
    assert isinstance(item, Routed)
    assert [(task.name, task.modality) for task in card.tasks] == [("colon", ""), ("lung", "chest CT")]
    assert [one.prompt for one in card.tasks[0].classes] == ["benign colon", "malignant colon"]
    assert [task.furthest for task in card.tasks] == [None, item.tasks[1].spread.furthest()]
    assert all(task.acc is not None for task in card.tasks)
    assert [(one.arrival, one.who, one.task) for one in card.members] == [
        (1, "north", "lung"),
        (2, HOSTILE, "lung"),
        (3, HOSTILE, "colon"),
    ]
    assert [one.share for one in card.members] == [0.5, 0.5, 1]
    assert card.base == tiny_base.facts
    assert card.base.preprocessing is not None
    assert card.base.preprocessing.size == tiny_base.image_size
    # where the checkpoint lies on this machine is nobody else's business
    assert card.base.spec == "tiny-test-clip.json:tiny-test-clip.pt"
    assert card.commit is not None
    assert card.recipe.method["method"] == "routed"
    assert card.item == item.digest == ForgeItem.load(checkout / "item").digest


def test_the_readme_is_markdown_whatever_contributors_wrote(checkout: Path) -> None:
    text = (checkout / "README.md").read_text()
    head = text.split("---\n")[1]
    assert 'base_model: "tiny-test-clip.json:tiny-test-clip.pt"' in head
    assert "=cmd\\|&lt;b&gt;Klinik&lt;/b&gt; \\[x\\](y) \\`" in text
    assert "<b>" not in text
    assert "| lung | chest CT | 2 |" in text
    assert "![" in text
    assert (checkout / "scores.svg").read_text().lstrip().startswith("<?xml")


def test_a_checkout_of_this_version_is_read_by_every_later_one() -> None:
    card, item = load_model(RECORDED)
    assert card.item == item.digest == "ae26ff724e2c5975976a05596870c77241212162c3e46cc83c53ab3256883e04"
    assert [task.name for task in card.tasks] == ["colon", "lung"]
    assert [one.who for one in card.members] == ["north", HOSTILE, HOSTILE]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"item": "0" * 64}, "holds another forge item than its model.json names"),
        ({"format": 2}, "is no model card that this version reads (format: Input should be 1); check the model out"),
        ({"surprise": 1}, "is no model card that this version reads (surprise: "),
    ],
)
def test_a_card_that_does_not_fit_is_refused(checkout: Path, tmp_path: Path, change: object, sentence: str) -> None:
    card = json.loads((checkout / "model.json").read_text()) | change
    ForgeItem.load(checkout).save(tmp_path / "item")
    (tmp_path / "model.json").write_text(json.dumps(card))
    with pytest.raises(CorruptFile) as caught:
        load_model(tmp_path)
    assert sentence in str(caught.value)


def test_what_is_no_model_is_refused(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptFile, match="is no model card"):
        ModelCard.parse(b"{", "model.json")
    with pytest.raises(InvalidInput, match="is a forge item without its card; make it with"):
        medforge.load(checkout / "item")
