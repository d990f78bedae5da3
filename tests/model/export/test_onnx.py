"""The graph answers as the merged model does: with our engine, and with ONNX Runtime alone."""

import json
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from medforge.base_module import BaseModule
from medforge.errors import CorruptFile, InvalidInput
from medforge.forge_item import ForgeItem, FusedPlugin, Member, Mixture, Routed
from medforge.model.engines.onnx import OnnxModel
from medforge.model.export.mixture_graph import MixtureGraph
from medforge.model.export.onnx import export_onnx
from medforge.model.merged_model import MergedModel
from medforge.plugin import PluginKind
from medforge.prediction import Prediction
from medforge.prototype_gate import PrototypeGate
from medforge.task_card import SiteCard, TaskCard
from medforge.task_site import TaskSite
from tests.making import make_plugin
from tests.model.networks import CALIBRATED, COLON, LUNG, card_of, routed
from tests.model.outside import run_without


def pixels(count: int = 40) -> np.ndarray:
    """Images of several kinds, so that each task and both sides of a threshold occur."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (count, 3, 32, 32))
    flat = random.integers(0, 256, (count, 3, 1, 1))
    share = random.random((count, 1, 1, 1))
    return (share * noise + (1 - share) * flat).astype(np.uint8)


def opened(base: BaseModule, item: ForgeItem, **tasks: tuple[str, ...]) -> MergedModel:
    return MergedModel(card_of(base, item, tasks), item, base)


@pytest.fixture(scope="module")
def model(tiny_base: BaseModule) -> MergedModel:
    """Three tasks; one of two sites with plugins and temperatures of their own."""
    item = routed(tiny_base)
    colon = item.tasks[1]
    sites = []
    for index, reach in enumerate((CALIBRATED, tuple(x * 3 for x in CALIBRATED))):
        own = SiteCard(branch=f"{index + 8:064x}", temperature=1.5 + index, distances=reach)
        away = torch.randn(colon.spread.means.shape, generator=torch.Generator().manual_seed(index))
        means = colon.spread.means + 0.1 * away
        expert = FusedPlugin(make_plugin(tiny_base, 7 + index))
        sites.append(TaskSite(own, means, colon.spread.weights, expert))
    card = TaskCard.model_validate(colon.card.model_dump() | {"sites": [one.card for one in sites]})
    divided = replace(colon, card=card, sites=tuple(sites))
    return opened(tiny_base, Routed((item.tasks[0], divided, item.tasks[2])))


@pytest.fixture(scope="module")
def exported(model: MergedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("onnx") / "out"
    assert export_onnx(model, directory) == ("brain", "colon", "lung")
    Image.fromarray(pixels(1)[0].transpose(1, 2, 0)).save(directory / "image.png")
    return directory


def same(due: list[Prediction], found: list[Prediction]) -> None:
    for one, other in zip(due, found, strict=True):
        for a, b in zip(one.ranking, other.ranking, strict=True):
            assert (a.task, a.key) == (b.task, b.key)
            assert a.task_probability == pytest.approx(b.task_probability, abs=1e-5)
            assert a.class_probability == pytest.approx(b.class_probability, abs=1e-5)
        assert one.distance == pytest.approx(other.distance, abs=1e-4)
        assert one.percentile == pytest.approx(other.percentile, abs=1e-5)
        assert (one.none_of_these, one.answered_by) == (other.none_of_these, other.answered_by)


def test_the_engine_answers_as_the_merged_model(model: MergedModel, exported: Path) -> None:
    engine, images = OnnxModel(exported), pixels()
    assert [one.name for one in engine.tasks] == ["brain", "colon", "lung"]
    for options in ({"top": 9}, {"top": 2, "task": "colon"}, {"threshold": 0.5}, {"threshold": 1.0}):
        due = list(model.stream(images, **options))  # type: ignore[arg-type]
        same(due, list(engine.stream(images, **options)))  # type: ignore[arg-type]
    due = list(model.stream(images))
    # images of every task, near and far, and of every site's plugin and the task's own
    assert {one.task for one in due} == {"brain", "colon", "lung"}
    assert {one.none_of_these for one in model.stream(images, threshold=0.3)} == {True, False}
    assert len({one.answered_by for one in model.stream(images, task="colon")}) == 3
    # as many as there are, one, and more than a batch
    for count in (1, 3):
        same(due[:count], list(engine.stream(images[:count])))
    same(due[:2], engine.predict(torch.from_numpy(images[:2])))


def test_onnx_runtime_alone_gives_the_same_answers(model: MergedModel, exported: Path) -> None:
    absent = ("medforge", "torch", "open_clip", "transformers", "peft", "onnx")
    ((row,),) = run_without(absent, [exported])
    best, probability, none = row
    (due,) = model.predict(exported / "image.png")
    one = json.loads((exported / "classes.json").read_text())[int(best)]
    assert (one["task"], one["key"]) == (due.task, due.key)
    assert probability == pytest.approx(due.probability, abs=1e-5)
    assert bool(none) == due.none_of_these


def test_one_network_and_one_task_have_graphs_too(tiny_base: BaseModule, model: MergedModel, tmp_path: Path) -> None:
    single = opened(tiny_base, FusedPlugin(make_plugin(tiny_base, 3)), lung=LUNG, colon=COLON)
    export_onnx(single, tmp_path / "single")
    engine, images = OnnxModel(tmp_path / "single"), pixels(5)
    for options in ({"top": 5}, {"task": "lung"}):
        same(list(single.stream(images, **options)), list(engine.stream(images, **options)))  # type: ignore[arg-type]
    assert next(iter(engine.stream(images))).distance is None


def members_of(base: BaseModule, coefficients: tuple[float, ...]) -> tuple[Member, ...]:
    return tuple(
        Member(f"{one + 4:064x}", make_plugin(base, one, kind=get_args(PluginKind)[one % 3]), coefficient)
        for one, coefficient in enumerate(coefficients)
    )


def chances(answers: Iterable[Prediction]) -> list[dict[tuple[str, str], tuple[float, float]]]:
    """Every class's P(task) and P(class), whatever their order: classes at a mixture's floor are equally likely."""
    return [
        {(one.task, one.key): (one.task_probability, one.class_probability) for one in answer.ranking}
        for answer in answers
    ]


@pytest.mark.parametrize("coefficients", [(0.5, 0.3, 0.2), (0.9, -0.4), (-0.7, -0.1)])
def test_a_mixture_of_outputs_has_a_graph(
    tiny_base: BaseModule, tmp_path: Path, coefficients: tuple[float, ...]
) -> None:
    # negative weights too, also such that no sum is a probability
    item = Mixture(members_of(tiny_base, coefficients), "output")
    mixture, images = opened(tiny_base, item, lung=LUNG, colon=COLON), pixels(20)
    graph = MixtureGraph(tiny_base, item, mixture.tasks).eval()
    for asked, prior in ((None, [0.0, 0.0]), ("colon", [-math.inf, 0.0]), ("lung", [0.0, -math.inf])):
        with torch.no_grad():
            of_task, of_class, *_ = graph(torch.from_numpy(images), torch.tensor(prior, dtype=torch.float64))
        names = [(task.name, one.key) for task in mixture.tasks for one in task.classes]
        for row, due in enumerate(chances(mixture.stream(images, top=5, task=asked))):
            found = zip(names, of_task[row, [0, 0, 1, 1, 1]].tolist(), of_class[row].tolist(), strict=True)
            assert {name: pair for name, *pair in found if name in due} == {
                name: pytest.approx(pair, abs=1e-5) for name, pair in due.items()
            }


def test_onnx_runtime_answers_as_a_mixture_of_outputs(tiny_base: BaseModule, tmp_path: Path) -> None:
    item = Mixture(members_of(tiny_base, (0.6, 0.4)), "output")
    mixture, images = opened(tiny_base, item, lung=LUNG, colon=COLON), pixels(20)
    assert export_onnx(mixture, tmp_path / "out") == ("lung", "colon")
    engine = OnnxModel(tmp_path / "out")
    for options in ({"top": 5}, {"top": 3, "task": "colon"}, {"top": 2, "task": "lung"}):
        same(list(mixture.stream(images, **options)), list(engine.stream(images, **options)))  # type: ignore[arg-type]


def test_onnx_runtime_answers_as_a_gated_mixture(tiny_base: BaseModule, tmp_path: Path) -> None:
    images = pixels(40)
    seen = tiny_base.embed_all(tiny_base.normalise(torch.from_numpy(images)))
    parts = torch.randperm(36, generator=torch.Generator().manual_seed(0)).split(12)
    gate = PrototypeGate.fit([seen[part] for part in parts], [torch.arange(12) % 2] * 3)
    item = Mixture(members_of(tiny_base, (0.5, 0.3, 0.2)), "output", gate)
    mixture = opened(tiny_base, item, lung=LUNG, colon=COLON)
    export_onnx(mixture, tmp_path / "out")
    engine = OnnxModel(tmp_path / "out")
    for options in ({"top": 5}, {"top": 3, "task": "colon"}):
        due = list(mixture.stream(images, **options))  # type: ignore[arg-type]
        same(due, list(engine.stream(images, **options)))  # type: ignore[arg-type]
        assert len({one.answered_by for one in due}) == 3


def test_what_has_no_graph_is_one_sentence(
    tiny_base: BaseModule, model: MergedModel, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match="has no task 'knee'; it has brain, colon, lung"):
        export_onnx(model, tmp_path / "out", task="knee")
    with pytest.raises(InvalidInput, match="has no task 'knee'; it has brain, colon, lung"):
        list(OnnxModel(exported).stream(pixels(1), task="knee"))
    with pytest.raises(InvalidInput, match=r"has no model.onnx; make it with `medforge export --to onnx`"):
        OnnxModel(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(CorruptFile, match="cannot be run"):
        OnnxModel(tmp_path)
    monkeypatch.setattr("medforge.model.export.onnx.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"onnx is not installed; install medforge\[onnx\]"):
        export_onnx(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
