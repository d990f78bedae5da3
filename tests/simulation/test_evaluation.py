"""Cached scoring says what the plugins and forge items themselves say, with fewer forward passes."""

import pytest
import torch

from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.task import Split, Task
from medforge.client.evaluate import score_base, score_item, score_plugin
from medforge.errors import InvalidInput
from medforge.forge_item import ForgeItem, FusedPlugin, Member, Mixture, Routed, WeightChange
from medforge.metrics import score
from medforge.prototype_gate import PrototypeGate
from medforge.simulation.evaluation import BATCH, Evaluator
from tests.aggregator.forges import fold_in_memory
from tests.making import make_distilled, make_plugin

COUNT = BATCH + 9


def make_task(base: BaseModule, name: str, classes: int, seed: int, by_slide: bool = False) -> Task:
    random = torch.Generator().manual_seed(seed)
    size = base.image_size
    labels = torch.arange(COUNT) % classes
    # A class has a brightness, so that scores are neither perfect nor all alike.
    pixels = torch.randint(0, 160, (COUNT, 3, size, size), generator=random) + (labels * 30).view(-1, 1, 1, 1)
    groups = tuple(f"slide {int(label)}-{i // 9}" for i, label in enumerate(labels)) if by_slide else None
    split = Split(PixelStore.of_tensor(pixels.to(torch.uint8)), labels, groups)
    prompts = tuple(f"{name} class {c}" for c in range(classes))
    return Task(name, prompts, split, split, split, split="random", score_by="slide" if by_slide else "patch")


@pytest.fixture(scope="module")
def tasks(tiny_base: BaseModule) -> dict[str, Task]:
    return {"a": make_task(tiny_base, "a", 2, 1), "b": make_task(tiny_base, "b", 3, 2, by_slide=True)}


def members(base: BaseModule) -> tuple[Member, ...]:
    return tuple(Member(str(k) * 64, make_plugin(base, seed=k), c) for k, c in ((1, 0.3), (2, 0.7)))


def gate(base: BaseModule) -> PrototypeGate:
    datasets = [make_distilled(base, seed=k) for k in (1, 2)]
    return PrototypeGate.fit([base.embed_all(d.images) for d in datasets], [d.labels for d in datasets])


def items(base: BaseModule) -> dict[str, ForgeItem]:
    return {
        "output": Mixture(members(base), "output"),
        "layer": Mixture(members(base), "layer"),
        "gated": Mixture(members(base), "output", gate(base)),
        "fused": FusedPlugin(make_plugin(base, seed=3)),
        "dense": WeightChange.of(base, make_plugin(base, seed=4).deltas(base)),
        "routed": routed(base),
        "sites": by_sites(base),
    }


def routed(base: BaseModule) -> Routed:
    """A model of both tasks."""
    item = fold_in_memory(base, choose_settings(method="routed"), [branch(base, "a", 2), branch(base, "b", 3)])[-1].item
    assert isinstance(item, Routed)
    return item


def by_sites(base: BaseModule) -> Routed:
    """A model of both tasks; of the first two sites keep their plugins."""
    branches = [branch(base, "a", 2), branch(base, "a", 2, seed=9), branch(base, "b", 3)]
    item = fold_in_memory(base, choose_settings(method="routed", expert="sites"), branches)[-1].item
    assert isinstance(item, Routed)
    assert [len(task.sites) for task in item.tasks] == [2, 0]
    return item


def branch(base: BaseModule, name: str, classes: int, seed: int | None = None) -> Branch:
    number = classes if seed is None else seed
    return Branch.build(
        make_plugin(base, seed=number),
        make_distilled(base, seed=number, prompts=tuple(f"{name} class {c}" for c in range(classes))),
        contributor=name if seed is None else f"{name} {seed}",
        task=name,
        base=base,
        training_images=10,
        recipe="test",
        seed=0,
        validation={},
    )


@pytest.mark.parametrize("kind", ["output", "layer", "gated", "fused", "dense", "routed", "sites"])
@pytest.mark.parametrize("name", ["a", "b"])
def test_an_item_scores_as_its_own_logits_do(
    tiny_base: BaseModule, tasks: dict[str, Task], kind: str, name: str
) -> None:
    item, task = items(tiny_base)[kind], tasks[name]
    images = tiny_base.normalise(task.test.images[:])
    wanted = score(item.logits(tiny_base, images, task.prompts), task.test.labels, task.scoring_groups(task.test))
    found = Evaluator(tiny_base, tasks).score_item(name, item)
    assert found.acc == pytest.approx(wanted.acc, abs=1e-9)
    assert found.auc == pytest.approx(wanted.auc, abs=1e-6)


def test_a_plugin_alone_scores_as_a_mixture_of_one(tiny_base: BaseModule, tasks: dict[str, Task]) -> None:
    evaluator = Evaluator(tiny_base, tasks)
    member = Member("1" * 64, make_plugin(tiny_base, seed=1), 1.0)
    alone, mixed = evaluator.score_plugin("a", member.plugin), evaluator.score_item("a", Mixture((member,), "output"))
    assert alone.acc == mixed.acc
    assert alone.auc == pytest.approx(mixed.auc, abs=1e-6)
    assert alone != evaluator.score_base("a")


def test_each_plugin_sees_each_image_once_over_all_rounds(tiny_base: BaseModule, tasks: dict[str, Task]) -> None:
    evaluator = Evaluator(tiny_base, tasks)
    first, second = members(tiny_base)
    for item in (Mixture((first,), "output"), Mixture((first, second), "output"), Mixture((second, first), "output")):
        for name in tasks:
            evaluator.score_item(name, item)
    assert evaluator.forwards == 2 * 2 * COUNT


def test_a_gated_round_costs_one_base_and_one_plugin_pass(tiny_base: BaseModule, tasks: dict[str, Task]) -> None:
    evaluator = Evaluator(tiny_base, tasks)
    item = items(tiny_base)["gated"]
    for _ in range(2):
        for name in tasks:
            evaluator.score_item(name, item)
    assert evaluator.forwards == 2 * 2 * COUNT
    chosen = evaluator.chosen("a", gate(tiny_base))
    assert len(chosen) == 2
    assert chosen.sum() == COUNT


def test_a_routed_round_costs_one_base_and_one_expert_pass(tiny_base: BaseModule, tasks: dict[str, Task]) -> None:
    evaluator, item = Evaluator(tiny_base, tasks), routed(tiny_base)
    for _ in range(2):
        for name in tasks:
            evaluator.score_item(name, item)
    assert evaluator.forwards == 2 * 2 * COUNT
    assert int(evaluator.routed("a", item).sum()) == COUNT


def test_where_sites_keep_their_plugins_a_round_costs_as_much(tiny_base: BaseModule, tasks: dict[str, Task]) -> None:
    evaluator, item = Evaluator(tiny_base, tasks), by_sites(tiny_base)
    for _ in range(2):
        for name in tasks:
            evaluator.score_item(name, item)
    assert evaluator.forwards == 2 * 2 * COUNT


def test_steps_taken_one_by_one_give_the_same_scores(tiny_base: BaseModule, tasks: dict[str, Task]) -> None:
    item = items(tiny_base)["output"]
    stepped = Evaluator(tiny_base, tasks)
    steps = sum(1 for _ in stepped.prepare_item("a", item))
    assert steps == 2 * -(-COUNT // BATCH)
    seen = stepped.forwards
    assert stepped.score_item("a", item) == Evaluator(tiny_base, tasks).score_item("a", item)
    assert stepped.forwards == seen


def test_a_network_of_its_own_can_be_forgotten(tiny_base: BaseModule, tasks: dict[str, Task]) -> None:
    evaluator = Evaluator(tiny_base, tasks)
    for kind, item in items(tiny_base).items():
        before = evaluator.score_item("a", item)
        evaluator.forget(item)
        seen = evaluator.forwards
        assert evaluator.score_item("a", item) == before
        assert (evaluator.forwards > seen) == (kind in ("fused", "layer", "dense"))


def test_on_the_union_of_prompts_the_model_must_name_task_and_class(
    tiny_base: BaseModule, tasks: dict[str, Task]
) -> None:
    union = (*tasks["a"].prompts, *tasks["b"].prompts)
    for item in items(tiny_base).values():
        evaluator, task = Evaluator(tiny_base, tasks), tasks["b"]
        images = tiny_base.normalise(task.test.images[:])
        wanted = score(item.logits(tiny_base, images, union), task.test.labels + 2, task.scoring_groups(task.test))
        found = evaluator.score_item("b", item, union)
        assert found.acc == pytest.approx(wanted.acc, abs=1e-9)
        seen = evaluator.forwards
        evaluator.score_item("b", item)
        # among all prompts a router asks the expert about those images only that it sends there
        assert evaluator.forwards - seen <= (len(task.test) if isinstance(item, Routed) else 0)


@pytest.fixture(scope="module")
def findings(tiny_base: BaseModule) -> Task:
    """A multi-label task of three findings on the images of task "b"."""
    split = make_task(tiny_base, "b", 3, 2).test
    labels = torch.stack([split.labels == 0, split.labels != 1, torch.arange(COUNT) % 2 == 0], dim=1).long()
    parts = [Split(split.images, labels) for _ in range(3)]
    prompts = tuple(f"finding {f}" for f in range(3))
    return Task("c", prompts, *parts, split="random", negatives=tuple(f"no {prompt}" for prompt in prompts))


@pytest.mark.parametrize("kind", ["output", "layer", "gated", "fused", "routed", "sites"])
def test_findings_score_as_the_centre_scores_them(tiny_base: BaseModule, findings: Task, kind: str) -> None:
    item = items(tiny_base)[kind]
    found, wanted = (
        Evaluator(tiny_base, {"c": findings}).score_item("c", item),
        score_item(item, tiny_base, findings, "test"),
    )
    assert found.acc == pytest.approx(wanted.acc, abs=1e-9)
    assert found.auc == pytest.approx(wanted.auc, abs=1e-6)


def test_findings_of_one_plugin_and_of_the_base_alone(tiny_base: BaseModule, findings: Task) -> None:
    evaluator, plugin = Evaluator(tiny_base, {"c": findings}), make_plugin(tiny_base, seed=1)
    for found, wanted in (
        (evaluator.score_plugin("c", plugin), score_plugin(plugin, tiny_base, findings, "test")),
        (evaluator.score_base("c"), score_base(tiny_base, findings, "test")),
    ):
        assert found.acc == pytest.approx(wanted.acc, abs=1e-9)
        assert found.auc == pytest.approx(wanted.auc, abs=1e-6)


def test_findings_have_no_union_of_prompts(tiny_base: BaseModule, findings: Task) -> None:
    evaluator = Evaluator(tiny_base, {"c": findings})
    with pytest.raises(InvalidInput, match="c is a multi-label task; score it among its own prompts alone"):
        evaluator.score_base("c", (*findings.texts, "another task's class"))
    assert evaluator.forwards == 0
