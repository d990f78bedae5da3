"""Fixtures that every room uses: a tiny real CLIP, and the real images where they are."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import open_clip
import pytest
import torch

from medforge.base import BaseModule, load_base
from tests.core.bases.hub import Hub
from tests.postgres import Cluster, cluster
from tests.third_parties import install_examples, seen

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

TINY_CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="session", autouse=True)
def _own_image_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What images are like is remembered in a folder of the tests', also by the processes that they start."""
    os.environ["MEDFORGE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real images beside the repository; skips where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real images (../shared/data) are not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny_spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base spec, usable from any process: a very small CLIP with fixed random weights, as config and checkpoint."""
    directory = tmp_path_factory.mktemp("base")
    config = directory / "tiny-test-clip.json"
    config.write_text(json.dumps(TINY_CONFIG))
    open_clip.add_model_config(config)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        clip = open_clip.create_model("tiny-test-clip")
    checkpoint = directory / "tiny-test-clip.pt"
    torch.save(clip.state_dict(), checkpoint)
    return f"{config}:{checkpoint}"


@pytest.fixture(scope="session")
def tiny_base(tiny_spec: str) -> BaseModule:
    """The very small CLIP, loaded through the real loading code; treat it as frozen."""
    return load_base(tiny_spec, device="cpu")


@pytest.fixture(scope="session")
def example_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the packages of examples/ are installed."""
    return install_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="module")
def with_examples(example_site: Path) -> Iterator[None]:
    """This process sees the packages of examples/."""
    with seen(example_site):
        yield


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """An empty cache of the hub's, for this process too."""
    from huggingface_hub import constants

    found = Hub(tmp_path / "hub")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(found.cache))
    for name in ("HF_ENDPOINT", "https_proxy"):
        monkeypatch.setenv(name, found.environment[name])
    return found


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server; skips where none is installed."""
    with cluster() as made:
        yield made
