"""What a base module says of itself: enough to find it, to recognise it, and to prepare images for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from medforge.errors import InvalidInput
from medforge.image_geometry import Preprocessing
from medforge.manifest import Line


class BaseFacts(BaseModel):
    """Name a base module by its spec and fingerprint.

    ``architecture`` is its open_clip model configuration. That and the preprocessing are None where a forge of an
    earlier version does not know them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: Annotated[Line, Field(min_length=1, max_length=1000)]
    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    architecture: dict[str, Any] | None = None
    preprocessing: Preprocessing | None = None

    @property
    def findable(self) -> bool:
        """Whether the spec alone finds the base module here: where a checkpoint lies never travels."""
        _, colon, path = self.spec.partition(":")
        return not colon or self.spec.startswith("hf-hub:") or Path(path).exists()

    def loadable_spec(self) -> str:
        """Return the spec to load a model's base module by; raises InvalidInput where it alone finds none."""
        if not self.findable:
            raise InvalidInput(
                f"the model stands on {self.spec}, which is not named by where it lies; give it with "
                "--base ARCH:CHECKPOINT_PATH or --base hf-local:DIRECTORY"
            )
        return self.spec
