"""A task whose sites keep their plugins: who answers which image, its files, and files that somebody else wrote."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medforge.base_module import BaseModule
from medforge.errors import CorruptFile, InvalidInput, MedForgeError
from medforge.files import canonical_json
from medforge.forge_item import ForgeItem, FusedPlugin, Routed
from medforge.manifest import LEVELS
from medforge.routed_task import Expert, RoutedTask
from medforge.task_card import SiteCard
from medforge.task_site import TaskSite, nearest_site
from medforge.task_spread import FURTHEST
from medforge.tensors import dump_tensors, parse_tensors
from tests.core.test_routed import COLON, IMAGES, LUNG, task
from tests.making import make_plugin

FIRST, SECOND = "1" * 64, "2" * 64


def quantiles_up_to(limit: float) -> tuple[float, ...]:
    """Quantiles of which the one that an image may not lie beyond is ``limit``."""
    return tuple(limit * (1 + place - LEVELS.index(FURTHEST) / 10) if place else 0.0 for place in range(len(LEVELS)))


@pytest.fixture(scope="module")
def embeddings(tiny_base: BaseModule) -> torch.Tensor:
    return tiny_base.embed_all(IMAGES)


@pytest.fixture(scope="module")
def divided(tiny_base: BaseModule, embeddings: torch.Tensor) -> RoutedTask:
    """A task of two sites around two of the images; the first lets nothing but its own image in."""
    plain = task(tiny_base, "lung", LUNG, FusedPlugin(make_plugin(tiny_base, 0)))
    sites = []
    for seed, (branch, limit) in enumerate(((FIRST, 1e-3), (SECOND, None)), start=1):
        # without the second class: what a site has no images of is infinitely far
        means = torch.stack([embeddings[seed], torch.zeros_like(embeddings[0])])
        distances = None if limit is None else tuple(limit for _ in LEVELS)
        card = SiteCard(branch=branch, temperature=float(seed), distances=distances)
        sites.append(TaskSite(card, means, torch.tensor([4, 0]), FusedPlugin(make_plugin(tiny_base, seed))))
    cards = tuple(site.card for site in sites)
    return replace(plain, card=plain.card.model_copy(update={"sites": cards}), sites=tuple(sites))


@pytest.fixture(scope="module")
def item(tiny_base: BaseModule, divided: RoutedTask) -> Routed:
    return Routed((task(tiny_base, "colon", COLON, FusedPlugin(make_plugin(tiny_base, 5))), divided))


def answering(one: RoutedTask, embeddings: torch.Tensor) -> list[int]:
    """Who answers each image, worked out one by one: -1 the expert, else the site."""
    found = []
    for row in embeddings.double():
        away = []
        for site in one.sites:
            gap = row - site.means[0].double()
            away.append(float((gap @ torch.linalg.inv(one.spread.covariance.double()) @ gap).sqrt()))
        nearest = away.index(min(away))
        limits = one.sites[nearest].card.distances or one.spread.distances
        beyond = limits is not None and away[nearest] > limits[LEVELS.index(FURTHEST)]
        found.append(-1 if beyond else nearest)
    return found


def test_an_image_goes_to_the_nearest_site_or_to_none(divided: RoutedTask, embeddings: torch.Tensor) -> None:
    expected = answering(divided, embeddings)
    assert set(expected) == {-1, 0, 1}, "every way must be gone for this test to say something"
    assert nearest_site(divided.sites, divided.spread, embeddings).tolist() == expected


def test_a_site_without_quantiles_keeps_to_the_tasks(divided: RoutedTask, embeddings: torch.Tensor) -> None:
    near = replace(divided.spread, distances=tuple(1e-3 for _ in LEVELS))
    found = nearest_site(divided.sites, near, embeddings).tolist()
    assert (found[1], found[2]) == (0, 1)
    assert found.count(-1) == len(found) - 2


def test_every_image_is_answered_by_one_network_with_its_own_temperature(
    tiny_base: BaseModule, item: Routed, divided: RoutedTask, embeddings: torch.Tensor
) -> None:
    networks = {-1: (divided.expert, divided.card.temperature), 0: (divided.sites[0].expert, 1.0)}
    networks[1] = (divided.sites[1].expert, 2.0)
    found = item.logits(tiny_base, IMAGES, LUNG).softmax(dim=1).double()
    head = divided.spread.class_log_probabilities(embeddings).exp()
    for place, who in enumerate(answering(divided, embeddings)):
        network, temperature = networks[who]
        alone = tiny_base.embed_all(IMAGES[[place]], network.weight_change(tiny_base))
        logits = tiny_base.logits(alone, LUNG).double() / temperature
        expected = 0.75 * logits.softmax(dim=1)[0] + 0.25 * head[place]
        torch.testing.assert_close(found[place], expected, atol=1e-5, rtol=1e-4)


def test_an_image_takes_two_passes_whatever_the_number_of_sites(
    tiny_base: BaseModule, divided: RoutedTask, embeddings: torch.Tensor
) -> None:
    asked: list[int] = []

    def ask(network: Expert, rows: torch.Tensor) -> torch.Tensor:
        asked.extend(rows.tolist())
        return embeddings[rows]

    divided.class_probabilities(tiny_base, embeddings, ask)
    assert sorted(asked) == list(range(len(IMAGES)))
    assert divided.class_probabilities(tiny_base, embeddings[:0], ask).shape == (0, 2)


def test_it_is_several_networks(tiny_base: BaseModule, divided: RoutedTask) -> None:
    with pytest.raises(InvalidInput, match="routes images over 2 sites, so it is several networks; for one network"):
        Routed((divided,)).weight_change(tiny_base)


def test_it_is_written_and_read_back(tmp_path: Path, tiny_base: BaseModule, item: Routed) -> None:
    item.check(tiny_base)
    item.save(tmp_path / "item")
    again = ForgeItem.load(tmp_path / "item")
    assert isinstance(again, Routed)
    assert (again.files(), again.digest) == (item.files(), item.digest)
    assert [plugin.digest for plugin in again.plugins()] == [
        make_plugin(tiny_base, seed).digest for seed in (5, 0, 1, 2)
    ]
    for prompts in (LUNG, (*COLON, *LUNG), ("a cat", "a dog")):
        torch.testing.assert_close(again.logits(tiny_base, IMAGES, prompts), item.logits(tiny_base, IMAGES, prompts))


def test_a_task_without_sites_has_the_bytes_that_it_always_had(item: Routed) -> None:
    assert "sites" not in json.loads(item.files()["tasks/colon/task.json"])
    assert not any(name.startswith("tasks/colon/sites") for name in item.files())


CARDS = [{"branch": FIRST}, {"branch": SECOND}]


@pytest.mark.parametrize(
    ("sites", "sentence"),
    [
        (CARDS[:1], "not two or more branches in their order"),
        (CARDS[::-1], "not two or more branches in their order"),
        ([CARDS[0], CARDS[0]], "not two or more branches in their order"),
        ([*CARDS, {"branch": "3" * 64}], "do not fit its classes"),
        ([CARDS[0], {"branch": "3" * 64}], "sites/3333"),
        ([CARDS[0], {"branch": "../" + "3" * 61}], "branch"),
        ([CARDS[0], {"branch": SECOND, "temperature": 0}], "temperature"),
        ([CARDS[0], {"branch": SECOND, "distances": [1]}], "it gives 1 distances where 7 quantiles are due"),
        ([CARDS[0], {"branch": SECOND, "distances": [7, 6, 5, 4, 3, 2, 1]}], "quantiles out of order"),
        ([CARDS[0], {"branch": SECOND, "more": 1}], "more"),
    ],
)
def test_a_list_of_sites_is_not_believed(item: Routed, sites: list[dict[str, object]], sentence: str) -> None:
    files, path = item.files(), "tasks/lung/task.json"
    with pytest.raises(CorruptFile, match=sentence):
        ForgeItem.parse({**files, path: canonical_json(json.loads(files[path]) | {"sites": sites})})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"means": torch.zeros(2, 2, 16, dtype=torch.float64)}, "not of float32 means"),
        ({"weights": torch.ones(2, 2)}, "int64 weights"),
        ({"means": torch.zeros(2, 3, 16)}, "do not fit"),
        ({"weights": torch.tensor([[1, 1, 1], [1, 1, 1]])}, "do not fit"),
        ({"means": torch.full((2, 2, 16), float("nan"))}, "cannot be"),
        ({"weights": torch.tensor([[0, 0], [1, 1]])}, "cannot be"),
        ({"weights": torch.tensor([[-1, 2], [1, 1]])}, "cannot be"),
    ],
)
def test_what_lies_where_is_not_believed(item: Routed, change: dict[str, torch.Tensor], sentence: str) -> None:
    files, path = item.files(), "tasks/lung/sites.safetensors"
    tensors, _ = parse_tensors(files[path], path)
    with pytest.raises(CorruptFile, match=sentence):
        ForgeItem.parse({**files, path: dump_tensors(tensors | change)})


def test_a_sites_plugin_of_another_base_is_not_believed(tiny_base: BaseModule, divided: RoutedTask) -> None:
    foreign = FusedPlugin(replace(make_plugin(tiny_base), base_fingerprint="0" * 64))
    odd = replace(divided, sites=(divided.sites[0], replace(divided.sites[1], expert=foreign)))
    with pytest.raises(CorruptFile, match="several base modules"):
        ForgeItem.parse(Routed((odd,)).files())


def test_a_missing_file_is_said(item: Routed) -> None:
    for path in item.files():
        with pytest.raises(MedForgeError, match="not whole"):
            ForgeItem.parse({name: data for name, data in item.files().items() if name != path})
