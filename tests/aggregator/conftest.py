"""Fixtures of the aggregator's tests."""

from pathlib import Path

import open_clip
import pytest
import torch

from medforge.base import load_base
from medforge.base_module import BaseModule
from tests.postgres import Cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a ledger of nobody's is, in a file and on a server: what takes this holds for both."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    server: Cluster = request.getfixturevalue("postgres")
    return server.new_ledger()


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
