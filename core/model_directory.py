"""A merged model as a directory that needs nothing else but the base module."""

from __future__ import annotations

from pathlib import Path

from medforge.errors import CorruptFile, InvalidInput
from medforge.files import SHARED, new_directory, read_file, write_files
from medforge.item import ITEM_DIRECTORY, ITEM_FILE, ForgeItem
from medforge.model_card import ModelCard

CARD_FILE = "model.json"
README_FILE = "README.md"
FIGURE_FILE = "scores.svg"


def save_model(directory: Path, card: ModelCard, item: ForgeItem) -> None:
    """Write card, README, figure and the item's files, all or none.

    Raises InvalidInput for a directory that is not empty, or that cannot be made.
    """
    from medforge.model_figure import draw_scores
    from medforge.model_readme import write_readme

    files = {f"{ITEM_DIRECTORY}/{name}": data for name, data in item.files().items()}
    figure = draw_scores(card)
    if figure is not None:
        files[FIGURE_FILE] = figure.encode()
    files[README_FILE] = write_readme(card, figure is not None).encode()
    files[CARD_FILE] = card.to_bytes()
    with new_directory(directory) as aside:
        write_files(aside, files, SHARED)


def load_model(directory: Path) -> tuple[ModelCard, ForgeItem]:
    """Read a model's directory; raises InvalidInput or CorruptFile with the reason."""
    path = directory / CARD_FILE
    if not path.is_file():
        what = "is a forge item without its card" if (directory / ITEM_FILE).is_file() else f"has no {CARD_FILE}"
        raise InvalidInput(f"{directory} {what}; make it with `medforge checkout`")
    card = ModelCard.parse(read_file(path, "the model card"), str(path))
    item = ForgeItem.load(directory)
    if item.digest != card.item:
        raise CorruptFile(f"{directory} holds another forge item than its {CARD_FILE} names; check the model out again")
    return card, item
