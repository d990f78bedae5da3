"""The hub's cache on a machine without internet, as its own client lays it out."""

import os
from dataclasses import dataclass
from pathlib import Path

OPENAI = "timm/vit_base_patch16_clip_224.openai"


@dataclass(frozen=True)
class Hub:
    """A cache of the hub's that this test alone has, and that no process it starts looks beyond."""

    cache: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process whose hub is this one; any other server is a port that nobody listens at."""
        nobody = "http://127.0.0.1:9"
        return os.environ | {"HF_HUB_CACHE": str(self.cache), "HF_ENDPOINT": nobody, "https_proxy": nobody}

    def put(self, repository: str, name: str) -> Path:
        """Return where a file of a repository lies, for the test to write it."""
        folder = self.cache / f"models--{repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs" / "main").write_text("0" * 40)
        (folder / "snapshots" / ("0" * 40)).mkdir(parents=True, exist_ok=True)
        return folder / "snapshots" / ("0" * 40) / name
