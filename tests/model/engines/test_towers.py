"""One contract for every engine: it answers as PyTorch does in fp32."""

import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.encoder import Encoder, Tower
from medforge.errors import CorruptFile, InvalidInput
from medforge.forge_item import FusedPlugin, Member, Mixture, WeightChange
from medforge.model.checks import ENGINES
from medforge.model.engines import given_tower
from medforge.model.engines.choice import check_engine, open_tower
from medforge.model.engines.given_tower import TOLERANCE, OnnxTower, kept_graph
from medforge.model.merged_model import MergedModel
from tests.making import make_plugin
from tests.model.networks import COLON, card_of, routed

EVERY = [("torch", "fp32"), ("torch", "bf16"), ("onnx", "fp32"), ("openvino", "fp32"), ("openvino", "bf16")]
PROBABILITY = {"fp32": 1e-5, "bf16": 0.05}
"""By how much a probability may be off that of PyTorch in fp32."""
IMAGES = torch.randn(21, 3, 32, 32, generator=torch.Generator().manual_seed(5))
PIXELS = np.random.default_rng(0).integers(0, 256, (21, 3, 32, 32)).astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(params=EVERY, ids=" ".join, scope="module")
def engine(request: pytest.FixtureRequest, tiny_spec: str) -> tuple[BaseModule, Tower | None, str]:
    """A base module, what runs its tower, and the dtype."""
    name, dtype = request.param
    base = load_base(tiny_spec, "cpu", dtype if name == "torch" else "fp32")
    return base, open_tower(name, base, dtype), dtype


def test_no_engine_is_left_out() -> None:
    assert {name for name, _ in EVERY} == set(ENGINES)


@pytest.mark.parametrize("count", [1, 2, 21])
def test_embeddings(engine: tuple[BaseModule, Tower | None, str], tiny_base: BaseModule, count: int) -> None:
    base, tower, dtype = engine
    networks = [
        FusedPlugin(make_plugin(tiny_base, 0)),
        FusedPlugin(make_plugin(tiny_base, 1, kind="dora")),
        WeightChange.of(tiny_base, make_plugin(tiny_base, 2).deltas(tiny_base)),
    ]
    chosen = torch.arange(count) % 3
    changes = [one.weight_change(tiny_base) for one in networks]
    due = torch.cat([tiny_base.embed_all(IMAGES[[n]], changes[n % 3]) for n in range(count)])
    for memory in (0, 10**9):
        encoder = Encoder(base, memory, tower)
        for expected, found in (
            (tiny_base.embed_all(IMAGES[:count]), encoder.embed(IMAGES[:count])),
            (due, encoder.embed_each(IMAGES[:count], networks, chosen)),
        ):
            assert found.dtype == torch.float32
            assert float(((found - expected).norm(dim=1) / expected.norm(dim=1)).max()) < TOLERANCE[dtype]


def test_answers(engine: tuple[BaseModule, Tower | None, str], tiny_base: BaseModule) -> None:
    base, tower, dtype = engine
    single = FusedPlugin(make_plugin(tiny_base, 4))
    for item, tasks in ((routed(tiny_base), {}), (single, {"colon": COLON})):
        card = card_of(tiny_base, item, tasks)
        due = list(MergedModel(card, item, tiny_base).stream(PIXELS, top=9))
        found = list(MergedModel(card, item, base, None, tower).stream(PIXELS, top=9))
        same = [a.task == b.task for a, b in zip(due, found, strict=True)]
        assert all(same) if dtype == "fp32" else sum(same) > 0.8 * len(same)
        for expected, one in zip(due, found, strict=True):
            if dtype == "fp32":
                assert one.answered_by == expected.answered_by
            if one.task == expected.task:
                chances = {(ranked.task, ranked.key): ranked.probability for ranked in one.ranking}
                for ranked in expected.ranking:
                    off = abs(ranked.probability - chances[ranked.task, ranked.key])
                    assert off < PROBABILITY[dtype]


def test_what_an_engine_does_not_run_is_refused(tiny_base: BaseModule, tiny_spec: str) -> None:
    item = routed(tiny_base)
    for engine, dtype, sentence in (
        ("tensorrt", "fp32", "engine 'tensorrt' is not known; choose one of torch, onnx, openvino"),
        ("onnx", "bf16", "engine onnx computes in fp32, not in bf16; change --dtype"),
        ("openvino", "fp16", "engine openvino computes in fp32 or bf16, not in fp16"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            check_engine(engine, item, dtype)
    mixture = Mixture((Member("0" * 64, make_plugin(tiny_base), 1.0),), "output")
    with pytest.raises(InvalidInput, match="runs in torch alone; leave --engine out"):
        check_engine("onnx", mixture, "fp32")
    with pytest.raises(InvalidInput, match="takes the base module in fp32 on the CPU"):
        open_tower("onnx", load_base(tiny_spec, "cpu", "bf16"), "fp32")


def test_a_graph_that_embeds_otherwise_is_found_out(tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnnxTower, "_weights", lambda self, group: self._own)
    with pytest.raises(InvalidInput, match=r"embeds images by [0-9.]+ otherwise than torch; use --engine torch"):
        OnnxTower(tiny_base)


def test_a_damaged_graph_is_said_and_written_again(tiny_base: BaseModule) -> None:
    path = kept_graph(tiny_base)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CorruptFile, match=r"cannot be run \(.*\); start again"):
        OnnxTower(tiny_base)
    assert not path.exists()
    OnnxTower(tiny_base)


def test_a_missing_package_is_named(tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InvalidInput, match=r"openvino is not installed; install medforge\[openvino\]"):
        given_tower.import_openvino()
    with pytest.raises(InvalidInput, match="is not installed"):
        open_tower("openvino", tiny_base, "fp32")
