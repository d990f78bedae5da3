"""The page about files and wire names every field of a manifest and every call of the service."""

from medforge.base_facts import BaseFacts
from medforge.client.workspace import Workspace
from medforge.manifest import Manifest
from medforge.model_card import CardCommit, CardMember, CardTask, ModelCard, Recipe
from medforge.proto import forge_pb2
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "reference-files-and-wire.md").read_text(encoding="utf-8")


def test_every_field_of_a_manifest_is_there() -> None:
    assert not [name for name in Manifest.model_fields if f"`{name}`" not in PAGE]


def test_every_field_of_a_models_card_is_there() -> None:
    cards = (ModelCard, CardTask, CardMember, CardCommit, Recipe, BaseFacts)
    assert not [name for card in cards for name in card.model_fields if f"`{name}`" not in PAGE]


def test_every_call_is_there() -> None:
    calls = [method.name for method in forge_pb2.DESCRIPTOR.services_by_name["Forge"].methods]
    assert calls
    assert not [name for name in calls if f"| `{name}` |" not in PAGE]


def test_the_places_of_a_workspace_are_there() -> None:
    place = Workspace(ROOT)
    named = (place.settings_file, place.plugin, place.distilled_file, place.audit_file, place.receipt_file, place.start)
    assert not [path for path in named if str(path.relative_to(ROOT)) not in PAGE]
