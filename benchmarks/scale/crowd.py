"""Who pushes which branch: contributors, tasks and drawn branches, by arrival number."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from benchmarks.arrival_cost import ORGANS, build, learned
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.invite import invite
from medforge.base import load_base
from medforge.branch import Branch
from medforge.distilled import DistilledDataset
from medforge.files import make_private
from medforge.plugin import Plugin, PluginSettings
from medforge.proto.kit import Kit

Shape = Literal["many", "one"]
SETTINGS = PluginSettings(rank=1, alpha=1, dropout=0)
PER_CLASS = 2
_ORGANS = ORGANS[:3]
_CONTRIBUTORS_OF_ONE = 50
_ANYWHERE = "127.0.0.1:50051"


class Crowd:
    """Make branches and kits, by arrival number from 1, in a directory.

    Under ``many`` the tasks are three and each contributor has one branch of each; under ``one`` every branch has a
    task of its own, and fifty contributors take turns.
    """

    def __init__(self, directory: Path, base_spec: str, shape: Shape) -> None:
        self._directory = directory
        self._shape = shape
        self.base = load_base(base_spec, "cpu")

    def contributor(self, number: int) -> str:
        """Return who pushes the branch of a number."""
        place = number - 1
        return f"site {place // len(_ORGANS) if self._shape == 'many' else place % _CONTRIBUTORS_OF_ONE}"

    def branch(self, number: int) -> Branch:
        """Make the branch of a number."""
        organ = _ORGANS[(number - 1) % len(_ORGANS)]
        task = organ if self._shape == "many" else f"{organ} {number}"
        return build(self.base, self._material[organ], number, self.contributor(number), task)

    def invite(self, forge: Forge, number: int) -> None:
        """Make the kit of who pushes the branch of a number, if it is not there yet."""
        make_private(self._directory)
        folder = self.kit_directory(number)
        if not folder.exists():
            invite(forge, self.contributor(number), _ANYWHERE, folder)

    def kit(self, number: int) -> Kit:
        """Open the kit of who pushes the branch of a number."""
        return Kit.load(self.kit_directory(number))

    def kit_directory(self, number: int) -> Path:
        """Return where the kit of who pushes the branch of a number lies."""
        return self._kit(self.contributor(number))

    def _kit(self, contributor: str) -> Path:
        return self._directory / contributor.replace(" ", "-")

    @cached_property
    def _material(self) -> dict[str, tuple[Plugin, DistilledDataset]]:
        return {organ: learned(self.base, organ, PER_CLASS, SETTINGS) for organ in _ORGANS}
