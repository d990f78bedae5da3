"""Fixtures of the aggregator's tests."""

from pathlib import Path

import open_clip
import pytest
import torch

from medforge.base import load_base
from medforge.base_module import BaseModule


@pytest.fixture(scope="session")
def other_base(tiny_spec: str, tmp_path_factory: pytest.TempPathFactory) -> BaseModule:
    """The architecture of `tiny_base` with other weights, so with another fingerprint."""
    config, _, _ = tiny_spec.partition(":")
    open_clip.add_model_config(config)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        clip = open_clip.create_model(Path(config).stem)
    checkpoint = tmp_path_factory.mktemp("other") / "other.pt"
    torch.save(clip.state_dict(), checkpoint)
    return load_base(f"{config}:{checkpoint}", device="cpu")
