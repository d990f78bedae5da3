"""As many classes and images as a paper's largest task would bring: nothing overflows, and little is looked at."""

import time
from pathlib import Path

import open_clip
import pytest
import torch

from medforge.aggregator.forge.policy import Admission
from medforge.aggregator.main_branch.examination import Examination
from medforge.aggregator.main_branch.objections import evenly
from medforge.aggregator.main_branch.separation import can_separate, separation
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.distilled import DistilledDataset
from tests.aggregator.centres import branch_of, trained_on

CLASSES, SIDE = 500, 8
CONFIG = """{"embed_dim": 16,
 "vision_cfg": {"image_size": 8, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
 "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}}"""


@pytest.fixture(scope="module")
def smallest_base(tmp_path_factory: pytest.TempPathFactory) -> BaseModule:
    """A CLIP of one layer for images of 8 × 8 pixels."""
    directory: Path = tmp_path_factory.mktemp("smallest")
    config, checkpoint = directory / "smallest-clip.json", directory / "smallest-clip.pt"
    config.write_text(CONFIG)
    open_clip.add_model_config(config)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(open_clip.create_model("smallest-clip").state_dict(), checkpoint)
    return load_base(f"{config}:{checkpoint}", device="cpu")


def many(base: BaseModule, ipc: int, contributor: str, seed: int) -> Branch:
    """A branch of 500 classes, each of a pattern of its own, whose plugin has learned one image of each."""
    patterns = torch.randn(CLASSES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(CLASSES).repeat_interleave(ipc)
    noise = torch.randn(len(labels), 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    prompts = tuple(f"class {place:03d}" for place in range(CLASSES))
    whole = DistilledDataset((patterns[labels] + 0.5 * noise).half(), labels, prompts)
    first = DistilledDataset(whole.images[::ipc], labels[::ipc], prompts)
    return branch_of(base, trained_on(base, first, steps=20), whole, "many", contributor)


def test_500_classes_pass_the_examination(smallest_base: BaseModule) -> None:
    # a base module with random weights is wrong about every class at once, which is no chance
    admission = Admission(significance=1e-9)
    cache = ProbabilityCache(smallest_base, None)
    # more images than are looked at
    one = ArrivedBranch.of(1, many(smallest_base, 25, "ann", 1))
    other = ArrivedBranch.of(2, many(smallest_base, 8, "bob", 2))
    assert Examination(smallest_base, cache, admission).arrival([one]) is None
    assert Examination(smallest_base, cache, admission).arrival([one, other]) is None


def test_what_is_looked_at_of_500_classes_of_200_images_is_small() -> None:
    labels = torch.arange(500).repeat_interleave(200)
    assert can_separate(labels, 0.15)
    features = torch.randn(len(labels), 16, generator=torch.Generator().manual_seed(0))
    begun = time.process_time()
    assert 0 < separation([features], labels, seed=0) <= 1
    chosen = evenly(len(labels))
    assert len(chosen) == 10_000
    assert set(torch.bincount(labels[chosen]).tolist()) == {20}
    assert evenly(10_000).tolist() == list(range(10_000))
    assert time.process_time() - begun < 10
