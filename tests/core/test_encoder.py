"""Images of several networks in one pass: as one network at a time, within a bounded memory."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.base_module import BaseModule
from medforge.encoder import Encoder
from medforge.memory import _available, _left_to_group, memory_to_keep
from medforge.merged_weights import MergedWeights
from medforge.single_network import FusedPlugin, WeightChange
from medforge.torch_tower import TorchTower
from tests.making import make_plugin

IMAGES = torch.randn(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def networks(tiny_base: BaseModule) -> list[FusedPlugin | WeightChange]:
    dense = WeightChange.of(tiny_base, make_plugin(tiny_base, 3).deltas(tiny_base))
    return [
        *(FusedPlugin(make_plugin(tiny_base, seed, kind=kind)) for seed, kind in enumerate(("lora", "dora"))),
        dense,
    ]


@pytest.fixture(scope="module")
def of_one(tiny_base: BaseModule) -> int:
    return sum(tiny_base.weight(site).nbytes for site in tiny_base.sites)


@pytest.fixture(scope="module")
def alone(tiny_base: BaseModule, networks: list[FusedPlugin | WeightChange]) -> torch.Tensor:
    return torch.stack([tiny_base.embed_all(IMAGES, one.weight_change(tiny_base)) for one in networks])


@settings(max_examples=25, deadline=None)
@given(chosen=st.lists(st.integers(0, 2), min_size=0, max_size=40), room=st.integers(0, 3))
def test_each_image_is_embedded_by_its_own_network_whatever_the_memory(
    tiny_base: BaseModule,
    networks: list[FusedPlugin | WeightChange],
    alone: torch.Tensor,
    of_one: int,
    chosen: list[int],
    room: int,
) -> None:
    encoder = Encoder(tiny_base, room * of_one)
    for _ in range(2):
        found = encoder.embed_each(IMAGES[: len(chosen)], networks, torch.tensor(chosen, dtype=torch.int64))
        expected = alone[torch.tensor(chosen, dtype=torch.int64), torch.arange(len(chosen))]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
        assert encoder.merged.bytes <= room * of_one
    torch.testing.assert_close(encoder.embed(IMAGES), tiny_base.embed_all(IMAGES))


def test_what_was_used_last_is_kept_and_only_what_is_asked_is_merged(
    tiny_base: BaseModule, networks: list[FusedPlugin | WeightChange], of_one: int
) -> None:
    kept = MergedWeights(tiny_base, 2 * of_one)
    for index, merges in ((0, 1), (1, 2), (0, 2), (2, 3), (0, 3), (1, 4)):
        weights = kept.of(networks[index])
        assert kept.merges == merges, "the least recently used goes first"
        assert kept.bytes <= 2 * of_one
        expected = tiny_base.merged(networks[index].weight_change(tiny_base))
        assert all(torch.equal(weights[site], expected[site]) for site in tiny_base.sites)
    encoder = Encoder(tiny_base, 3 * of_one)
    encoder.embed_each(IMAGES[:4], networks, torch.tensor([1, 1, 1, 1]))
    assert encoder.merged.merges == 1


def test_a_tower_that_cannot_be_mixed_runs_once_a_network(
    tiny_base: BaseModule, networks: list[FusedPlugin | WeightChange], alone: torch.Tensor, of_one: int
) -> None:
    tower = TorchTower(tiny_base)
    assert tower._can_mix
    tower.__dict__["_can_mix"] = False
    chosen = torch.tensor([2, 0, 1, 0, 2])
    found = Encoder(tiny_base, 3 * of_one, tower).embed_each(IMAGES[:5], networks, chosen)
    torch.testing.assert_close(found, alone[chosen, torch.arange(5)], atol=1e-5, rtol=1e-4)


def test_memory_is_what_was_asked_for_or_a_quarter_of_what_is_free(tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    assert memory_to_keep(cpu, 3) == 3_000_000
    assert memory_to_keep(cpu, 0) == 0
    assert 0 < memory_to_keep(cpu) < 2**50
    info = tmp_path / "meminfo"
    info.write_text("MemTotal:  9 kB\nMemAvailable:  5 kB\n")
    assert _available(info) == 5 * 1024
    assert _available(tmp_path / "none") == 4 * 2**30
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700\n")
    assert _left_to_group(tmp_path) > 2**60
    (tmp_path / "memory.max").write_text("1000\n")
    assert _left_to_group(tmp_path) == 300
