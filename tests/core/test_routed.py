"""The routed forge item: its formulas written out, its files, and files that somebody else wrote."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medforge.base_module import BaseModule
from medforge.class_statistics import ClassStatistics
from medforge.declared_task import TaskClass
from medforge.encoder import Encoder
from medforge.errors import CorruptFile, InvalidBranch, InvalidInput, MedForgeError
from medforge.files import canonical_json
from medforge.forge_item import ForgeItem, FusedPlugin, Routed, WeightChange
from medforge.manifest import LEVELS
from medforge.routed_task import Expert, RoutedTask
from medforge.task_card import TaskCard, TaskMember
from medforge.task_spread import FURTHEST, TaskSpread
from medforge.tensors import dump_tensors, parse_tensors
from tests.making import make_plugin

LUNG, COLON = ("benign lung", "lung cancer"), ("benign colon", "colon cancer", "colon polyp")
IMAGES = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def task(
    base: BaseModule,
    name: str,
    prompts: tuple[str, ...],
    expert: Expert,
    distances: tuple[float, ...] | None = None,
    temperature: float = 2.0,
    head: float = 0.25,
) -> RoutedTask:
    random = torch.Generator().manual_seed(len(prompts))
    labels = torch.arange(len(prompts)).repeat_interleave(10)
    seen = base.embed_all(torch.randn(len(labels), 3, 32, 32, generator=random))
    measured = TaskSpread.of(ClassStatistics.of(seen, labels, len(prompts)), 0.5)
    card = TaskCard(
        name=name,
        classes=tuple(TaskClass(key=prompt.replace(" ", "-"), prompt=prompt) for prompt in prompts),
        members=(TaskMember(branch=f"{len(prompts):064x}", weight=3),),
        temperature=temperature,
        head=head,
        distances=distances,
    )
    spread = TaskSpread(measured.means.float(), measured.weights, measured.covariance.float(), distances)
    return RoutedTask(card, spread, expert)


@pytest.fixture(scope="module")
def item(tiny_base: BaseModule) -> Routed:
    dense = WeightChange.of(tiny_base, make_plugin(tiny_base, 1).deltas(tiny_base))
    calibrated = tuple(float(x) for x in range(1, 1 + len(LEVELS)))
    colon = task(tiny_base, "colon", COLON, FusedPlugin(make_plugin(tiny_base, 0)), calibrated)
    return Routed((colon, task(tiny_base, "lung", LUNG, dense)))


def of_expert(base: BaseModule, one: RoutedTask, images: torch.Tensor) -> torch.Tensor:
    embeddings = base.embed_all(images, one.expert.weight_change(base))
    return (base.logits(embeddings, one.prompts).double() / one.card.temperature).softmax(dim=1)


def of_class(base: BaseModule, one: RoutedTask, images: torch.Tensor) -> torch.Tensor:
    head = one.spread.class_log_probabilities(base.embed_all(images)).exp()
    return (1 - one.card.head) * of_expert(base, one, images) + one.card.head * head


def test_prompts_of_one_task_are_answered_by_its_expert(tiny_base: BaseModule, item: Routed) -> None:
    for one, prompts in zip(item.tasks, (COLON, LUNG), strict=True):
        found = item.logits(tiny_base, IMAGES, prompts).softmax(dim=1)
        torch.testing.assert_close(found.double(), of_class(tiny_base, one, IMAGES), atol=1e-5, rtol=1e-4)


def test_a_part_of_a_tasks_prompts_in_any_order_and_spelling_shares_its_probability(
    tiny_base: BaseModule, item: Routed
) -> None:
    found = item.logits(tiny_base, IMAGES, ("COLON  polyp", "benign colon")).softmax(dim=1).double()
    whole = of_class(tiny_base, item.tasks[0], IMAGES)[:, [2, 0]]
    torch.testing.assert_close(found, whole / whole.sum(dim=1, keepdim=True), atol=1e-5, rtol=1e-4)


def test_the_union_is_the_tasks_probability_times_the_classes(tiny_base: BaseModule, item: Routed) -> None:
    of_task = item.router.task_log_probabilities(tiny_base.embed_all(IMAGES)).exp()
    likeliest = of_task.argmax(dim=1)
    assert set(likeliest.tolist()) == {0, 1}, "the images must go both ways for this test to say something"
    parts = []
    for index, one in enumerate(item.tasks):
        expert = of_class(tiny_base, one, IMAGES)
        head = one.spread.class_log_probabilities(tiny_base.embed_all(IMAGES)).exp()
        parts.append(of_task[:, [index]] * torch.where((likeliest == index).unsqueeze(1), expert, head))
    found = item.logits(tiny_base, IMAGES, (*COLON, *LUNG)).softmax(dim=1).double()
    torch.testing.assert_close(found, torch.cat(parts, dim=1), atol=1e-5, rtol=1e-4)


def test_prompts_that_no_task_has_are_put_to_the_likeliest_tasks_expert(tiny_base: BaseModule, item: Routed) -> None:
    prompts = ("benign lung", "a cat", "a dog")
    likeliest = item.router.task_log_probabilities(tiny_base.embed_all(IMAGES)).argmax(dim=1).tolist()
    found = item.logits(tiny_base, IMAGES, prompts)
    for place, index in enumerate(likeliest):
        one = item.tasks[index]
        embeddings = tiny_base.embed_all(IMAGES[[place]], one.expert.weight_change(tiny_base))
        expected = tiny_base.logits(embeddings, prompts)[0] / one.card.temperature
        torch.testing.assert_close(found[place], expected, atol=1e-4, rtol=1e-4)


def test_two_tasks_with_the_same_prompts_are_routed_between(tiny_base: BaseModule, item: Routed) -> None:
    other = task(tiny_base, "lung 2", LUNG, FusedPlugin(make_plugin(tiny_base, 5)), temperature=1.0)
    both = Routed((item.tasks[0], item.tasks[1], other))
    route = both.route(tiny_base.embed_all(IMAGES), LUNG)
    assert [one.card.name for one in route.tasks] == ["lung", "lung 2"]
    torch.testing.assert_close(route.probabilities.sum(dim=1), torch.ones(len(IMAGES), dtype=torch.float64))


def union(base: BaseModule, item: Routed, image: torch.Tensor) -> dict[tuple[str, str], float]:
    """Return P(task) · P(class | task) of one image by task and prompt; only the likeliest task's expert is asked."""
    embedding = base.embed_all(image)
    chances = item.router.task_log_probabilities(embedding).exp()[0]
    found = {}
    for index, one in enumerate(item.tasks):
        asked = index == int(chances.argmax())
        classes = of_class(base, one, image)[0] if asked else one.spread.class_log_probabilities(embedding).exp()[0]
        pairs = zip(one.prompts, classes.tolist(), strict=True)
        found |= {(one.card.name, prompt): float(chances[index]) * chance for prompt, chance in pairs}
    return found


@pytest.mark.parametrize("top", [1, 2, 3, 5])
def test_a_prediction_ranks_the_classes_of_all_tasks_and_says_how_sure(
    tiny_base: BaseModule, item: Routed, top: int
) -> None:
    embeddings = tiny_base.embed_all(IMAGES)
    logits = item.logits(tiny_base, IMAGES, (*COLON, *LUNG))
    for place, one in enumerate(item.predict(tiny_base, IMAGES, top=top)):
        expected = union(tiny_base, item, IMAGES[[place]])
        best = sorted(expected, key=lambda pair: -expected[pair])[:top]
        assert [(ranked.task, ranked.prompt) for ranked in one.ranking] == best
        assert [ranked.probability for ranked in one.ranking] == pytest.approx(
            [expected[pair] for pair in best], abs=1e-5
        )
        # what is measured as accuracy on the union, and what a person is told, are the same answer
        assert one.prompt == (*COLON, *LUNG)[int(logits[place].argmax())]
        assert one.key == one.prompt.replace(" ", "-")
        chosen = next(task for task in item.tasks if task.card.name == one.task)
        assert one.distance == pytest.approx(float(chosen.spread.nearest(embeddings[[place]])[0]))
        assert one.answered_by == tuple(member.branch for member in chosen.card.members)
        assert one.calibrated == (one.task == "colon")
        assert one.none_of_these == (one.calibrated and (one.distance or 0) > LEVELS.index(FURTHEST) + 1)
    assert item.predict(tiny_base, IMAGES[:0]) == []


def test_a_task_that_no_image_can_belong_to_costs_nothing(tiny_base: BaseModule, item: Routed) -> None:
    colon, lung = item.tasks
    away = replace(lung, spread=replace(lung.spread, means=lung.spread.means + 1e3))
    apart = Routed((colon, away))
    assert {one.task for one in apart.predict(tiny_base, IMAGES, top=3)} == {"colon"}
    assert "root" not in vars(away.spread)
    # whoever asks for more classes than the likeliest task has hears of the other too
    assert all(len(one.ranking) == 4 for one in apart.predict(tiny_base, IMAGES, top=4))


def test_one_task_alone_can_be_asked(tiny_base: BaseModule, item: Routed) -> None:
    for one, image in zip(item.predict(tiny_base, IMAGES, only="colon", top=9), IMAGES, strict=True):
        classes = of_class(tiny_base, item.tasks[0], image.unsqueeze(0))[0]
        assert (one.task, one.task_probability) == ("colon", 1)
        assert [ranked.class_probability for ranked in one.ranking] == pytest.approx(
            classes.sort(descending=True).values.tolist(), abs=1e-5
        )
    with pytest.raises(InvalidInput, match="the model has no task 'skin'; it has colon, lung"):
        item.predict(tiny_base, IMAGES, only="skin")


@pytest.mark.parametrize("share", [0.5, 0.95, 0.97, 0.99, 1.0])
def test_how_far_is_too_far_can_be_chosen(tiny_base: BaseModule, item: Routed, share: float) -> None:
    furthest = item.tasks[0].spread.furthest(share)
    assert furthest == pytest.approx({0.5: 3, 0.95: 6, 0.97: 6.5, 0.99: 7}.get(share, float("inf")))
    for one in item.predict(tiny_base, IMAGES, only="colon", furthest=share):
        assert one.none_of_these == ((one.distance or 0) > furthest)


def test_only_one_task_is_one_network(tiny_base: BaseModule, item: Routed) -> None:
    with pytest.raises(InvalidInput, match="routes images over 2 tasks, so it is several networks; for one network"):
        item.weight_change(tiny_base)
    alone = Routed(item.tasks[:1])
    expected = make_plugin(tiny_base, 0).deltas(tiny_base)
    for site, change in alone.weight_change(tiny_base).items():
        torch.testing.assert_close(change, expected[site])


def test_it_is_written_and_read_back(tmp_path: Path, tiny_base: BaseModule, item: Routed) -> None:
    item.check(tiny_base)
    item.save(tmp_path / "item")
    again = ForgeItem.load(tmp_path / "item")
    assert isinstance(again, Routed)
    assert (again.files(), again.digest) == (item.files(), item.digest)
    assert [plugin.digest for plugin in again.plugins()] == [make_plugin(tiny_base, 0).digest]
    for prompts in (COLON, (*COLON, *LUNG), ("a cat", "a dog")):
        torch.testing.assert_close(
            again.logits(tiny_base, IMAGES, prompts), item.logits(tiny_base, IMAGES, prompts), atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "../lung"}, "name"),
        ({"name": "other"}, "is another"),
        ({"classes": []}, "classes"),
        ({"classes": [{"key": "a", "prompt": "A lung"}, {"key": "b", "prompt": "a  lung"}]}, "share a prompt"),
        ({"classes": [{"key": str(k), "prompt": f"class {k}"} for k in range(3)]}, "does not fit its classes"),
        ({"members": [{"branch": "0" * 64, "weight": 1}] * 2}, "its member twice"),
        ({"members": [{"branch": "0" * 64, "weight": 0}]}, "weight"),
        ({"temperature": 0}, "temperature"),
        ({"head": 1.5}, "head"),
        ({"distances": [1, 2, 3]}, "it gives 3 distances where 7 quantiles are due"),
        ({"distances": [7, 6, 5, 4, 3, 2, 1]}, "quantiles out of order"),
        ({"more": 1}, "more"),
    ],
)
def test_a_card_is_not_believed(item: Routed, change: dict[str, object], sentence: str) -> None:
    files = item.files()
    path = "tasks/lung/task.json"
    with pytest.raises(CorruptFile, match=sentence):
        ForgeItem.parse({**files, path: canonical_json(json.loads(files[path]) | change)})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"means": torch.zeros(2, 16, dtype=torch.float64)}, "float32 means"),
        ({"means": torch.zeros(3, 16)}, "does not fit"),
        ({"means": torch.full((2, 16), float("inf"))}, "cannot be"),
        ({"weights": torch.tensor([0, 0])}, "cannot be"),
        ({"weights": torch.tensor([-1, 5])}, "cannot be"),
        ({"covariance": torch.eye(15)}, "does not fit"),
        ({"covariance": -torch.eye(16)}, "covariance is none"),
        ({"covariance": torch.full((16, 16), float("nan"))}, "covariance is none"),
        ({"covariance": torch.triu(torch.ones(16, 16))}, "covariance is none"),
    ],
)
def test_a_spread_is_not_believed(item: Routed, change: dict[str, torch.Tensor], sentence: str) -> None:
    files = item.files()
    path = "tasks/lung/spread.safetensors"
    tensors, _ = parse_tensors(files[path], path)
    with pytest.raises(CorruptFile, match=sentence):
        ForgeItem.parse({**files, path: dump_tensors(tensors | change)})


@pytest.mark.parametrize("tasks", [[], ["lung", "colon"], ["lung", "lung"], ["lung", "x"], "lung", [["lung"]], None, 3])
def test_a_list_of_tasks_is_not_believed(item: Routed, tasks: object) -> None:
    card = canonical_json({"kind": "routed", "tasks": tasks})
    with pytest.raises(CorruptFile, match="the forge item is not whole"):
        ForgeItem.parse({**item.files(), "forge_item.json": card})


def test_an_expert_is_one_network_of_the_same_base(tiny_base: BaseModule, item: Routed) -> None:
    inner = {f"tasks/lung/expert/{name}": data for name, data in item.files().items()}
    with pytest.raises(CorruptFile, match="of the kind 'routed'"):
        ForgeItem.parse(item.files() | inner)
    foreign = FusedPlugin(replace(make_plugin(tiny_base), base_fingerprint="0" * 64))
    with pytest.raises(CorruptFile, match="several base modules"):
        ForgeItem.parse(Routed((item.tasks[0], task(tiny_base, "lung", LUNG, foreign))).files())


def test_a_router_must_fit_the_base(tiny_base: BaseModule, item: Routed) -> None:
    one = item.tasks[0]
    narrow = TaskSpread(one.spread.means[:, :3], one.spread.weights, torch.eye(3), one.spread.distances)
    with pytest.raises(InvalidBranch, match="router measures 3 features where the base module has 16; check it out"):
        Routed((replace(one, spread=narrow),)).check(tiny_base)


def test_a_missing_file_is_said(item: Routed) -> None:
    for path in item.files():
        with pytest.raises(MedForgeError, match="not whole"):
            ForgeItem.parse({name: data for name, data in item.files().items() if name != path})


@pytest.mark.parametrize("top", [1, 2, 4, 7, 30])
def test_an_encoder_that_keeps_experts_answers_alike_over_many_tasks(
    tiny_base: BaseModule, item: Routed, top: int
) -> None:
    colon, lung = item.tasks
    embeddings = tiny_base.embed_all(IMAGES)
    # a task around each of some images, so that one batch asks many experts
    around = [
        replace(
            one := (colon, lung)[place % 2],
            card=one.card.model_copy(update={"name": f"task {place}"}),
            spread=replace(one.spread, means=embeddings[place] + 0.1 * one.spread.means),
            expert=FusedPlugin(make_plugin(tiny_base, place)),
        )
        for place in range(7)
    ]
    many = Routed(tuple(around))
    encoder = Encoder(tiny_base, 10**9)
    expected = many.predict(tiny_base, IMAGES, top=top)
    assert len({one.task for one in expected}) > 3
    for _ in range(2):
        for due, found in zip(expected, many.predict(tiny_base, IMAGES, top=top, encoder=encoder), strict=True):
            assert [(one.task, one.key) for one in found.ranking] == [(one.task, one.key) for one in due.ranking]
            chances = [one.probability for one in due.ranking]
            assert [one.probability for one in found.ranking] == pytest.approx(chances, abs=1e-6)
            assert (found.distance, found.answered_by) == (pytest.approx(due.distance), due.answered_by)
    for place, due in enumerate(expected):
        union_of = union(tiny_base, many, IMAGES[[place]])
        assert sorted(union_of.values(), reverse=True)[:top] == pytest.approx(
            [one.probability for one in due.ranking], abs=1e-5
        )
    # each expert that is asked is merged once, and no other
    assert encoder.merged.merges == len(many.route(embeddings).likeliest.unique())
