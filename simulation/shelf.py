"""What centres of earlier runs learned, kept by what it was learned from, for the centres of later ones."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from medforge.client.data.catalogue import open_task, whole_source
from medforge.client.data.sites.divide import at_site
from medforge.client.recipes import change_recipe, recipe_for
from medforge.client.workspace import Workspace
from medforge.errors import InvalidInput
from medforge.files import canonical_json, make_private, sha256_bytes
from medforge.manifest import software_versions
from medforge.processor import processor_kind
from medforge.simulation.centre_run import PROGRESS_FILE, CentreRun
from medforge.simulation.commands import contribute_command
from medforge.simulation.settings import SimulationSettings

if TYPE_CHECKING:
    from medforge.base_module import BaseModule
    from medforge.client.data.task import Task

OF_THE_RUN = ("receipt.json", PROGRESS_FILE, "*.lock", "*.pixels", "*.unfinished")
"""What of a workspace belongs to its run, or is large and drawn or decoded again within seconds."""

ABANDONED_SECONDS = 86400.0


class Shelf:
    """Keep finished workspaces below one directory, each under the digest of all that its branch depends on.

    That is the command of the centre, the recipe that it names, the base module's fingerprint, the images (their
    source's key, and which of them are in which split under which label), the software and the processor. Files are
    shared with the workspaces as hard links where the file system has them; whoever writes one replaces it.
    """

    def __init__(self, directory: Path, settings: SimulationSettings, base: BaseModule) -> None:
        self._directory = directory
        self._settings = settings
        self._base = base
        self._whole: dict[str, Task] = {}
        self.taken = 0

    def take(self, centre: CentreRun) -> bool:
        """Put what is kept of a centre's work into its workspace, unless there is some already; say whether that is."""
        kept = self.place(centre)
        if Workspace(centre.workspace).exists or Workspace(kept).committed is None:
            return False
        try:
            os.utime(kept)
            _link(kept, centre.workspace)
        except (FileNotFoundError, shutil.Error):
            # another run removed it meanwhile
            return False
        self.taken += 1
        return True

    def keep(self, centre: CentreRun) -> None:
        """Keep a centre's finished work; what is kept already stays."""
        kept = self.place(centre)
        if not kept.exists():
            _link(centre.workspace, kept)

    def trim(self, limit: float) -> int:
        """Remove what was used longest ago until the rest takes at most `limit` bytes; return of how many centres."""
        if not self._directory.is_dir():
            return 0
        left, removed = limit, 0
        for place in sorted(self._directory.iterdir(), key=lambda place: -place.stat().st_mtime):
            if place.name.startswith("."):
                # of another run that goes on, or was killed
                if place.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                    shutil.rmtree(place, ignore_errors=True)
                continue
            left -= sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
            if left < 0:
                _remove(place)
                removed += 1
        return removed

    def place(self, centre: CentreRun) -> Path:
        """Return where the work of a centre is kept. Raises InvalidInput where its images cannot be opened."""
        words = contribute_command(self._settings, centre)
        where = words.index("--workspace")
        facts = {
            "command": [*words[:where], *words[where + 2 :]],
            "images": self._images(centre.source),
            **self._common,
        }
        return self._directory / f"{centre.name}-{sha256_bytes(canonical_json(facts))[:24]}"

    @cached_property
    def _common(self) -> dict[str, object]:
        settings = self._settings
        recipe = change_recipe(recipe_for(settings.base, settings.recipe), settings.changes)
        return {
            "recipe": recipe.model_dump(mode="json"),
            "base": self._base.fingerprint,
            "device": str(self._base.device),
            "processor": processor_kind(),
            "software": software_versions(),
        }

    def _images(self, source: str) -> list[object]:
        whole, site = whole_source(source)
        if whole not in self._whole:
            # drawn images are another source for every centre, and others one for all
            self._whole = {whole: open_task(whole, self._base.preprocessing, self._settings.seed)}
        task = self._whole[whole]
        if site is not None:
            task = at_site(task, site, self._settings.seed)
        splits = {
            name: sha256_bytes(canonical_json([split.images.indices.tolist(), split.labels.tolist()]))
            for name, split in task.splits.items()
        }
        return [task.train.images.bank.source.key(), self._base.preprocessing.key(), list(task.texts), splits]


def _link(source: Path, place: Path) -> None:
    """Make a directory's copy at a place, whole or not at all."""
    make_private(place.parent)
    with tempfile.TemporaryDirectory(prefix=".copy-", dir=place.parent) as room:
        made = Path(room) / "made"
        shutil.copytree(source, made, ignore=shutil.ignore_patterns(*OF_THE_RUN), copy_function=_share)
        try:
            made.rename(place)
        except OSError:
            # another run was faster
            if not place.is_dir():
                raise InvalidInput(f"{place} cannot be written; choose another --out") from None


def _remove(place: Path) -> None:
    """Remove a directory, for whoever looks for it all at once."""
    with tempfile.TemporaryDirectory(prefix=".gone-", dir=place.parent) as room:
        place.rename(Path(room) / "gone")


def _share(source: str, place: str) -> None:
    try:
        os.link(source, place)
    except OSError:
        shutil.copy2(source, place)
