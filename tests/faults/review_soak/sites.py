"""Centres whose images are told apart by colour: honest ones, and such as attack them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.data.task import Split, Task
from medforge.client.work import Work
from medforge.client.workspace import Workspace
from medforge.site_facts import SiteFacts
from tests.client.test_cli import options, run

Colour = tuple[int, int, int]
GREY: tuple[Colour, Colour] = ((90, 90, 90), (165, 165, 165))
COLOURED: tuple[Colour, Colour] = ((200, 60, 60), (60, 60, 200))
SHADES = ("dark_tissue", "bright_tissue")
STAINS = ("red_stain", "blue_stain")
TRAINED, TESTED = 240, 200


@dataclass
class Site:
    """A contributor with a workspace whose work is done, and the newest branch it made of it."""

    name: str
    workspace: Path
    made: int = 0

    @cached_property
    def task(self) -> Task:
        return Work(Workspace(self.workspace), "cpu").task

    def unseen(self) -> Split:
        """Return images that nothing was trained or reviewed on."""
        test = self.task.test
        assert test is not None
        return test

    def next_branch(self, base: BaseModule, out: Path) -> Path:
        """Save a version that differs in every byte and hardly in what it does."""
        self.made += 1
        branch = _another(Branch.load(self.workspace / "branch"), self.made, base)
        place = out / f"{self.name}-{self.made}"
        branch.save(place)
        return place


def make_sites(place: Path, spec: str) -> dict[str, Site]:
    """Train three honest centres, of whom two share a question, and three who misbehave.

    `glass` has images like the shades', under a question of its own (flood); `swap` answers the shades with its labels
    exchanged; `liar` has an honest branch for the stains, and lies in its reviews.
    """
    plan: Sequence[tuple[str, str, tuple[str, str], tuple[Colour, Colour]]] = (
        ("north", "shades", SHADES, GREY),
        ("south", "shades", SHADES, GREY),
        ("east", "stains", STAINS, COLOURED),
        ("liar", "stains", STAINS, COLOURED),
        ("glass", "glass", ("alpha_glass", "omega_glass"), GREY),
        ("swap", "shades", SHADES, GREY[::-1]),
    )
    return {
        name: contributed(place, spec, name, task, classes, colours, seed)
        for seed, (name, task, classes, colours) in enumerate(plan)
    }


def contributed(
    place: Path,
    spec: str,
    name: str,
    task: str,
    classes: tuple[str, str],
    colours: tuple[Colour, Colour],
    seed: int,
) -> Site:
    """Draw a centre's images, train and distil it by the command, and push nothing."""
    source = _images(place / name / task, classes, colours, seed)
    workspace = place / f"{name}-work"
    run("contribute", f"folder:{source}", "--workspace", workspace, "--no-push", "--base", spec, "--threads", 1,
        "--contributor", name, *options())  # fmt: skip
    return Site(name, workspace)


def _images(root: Path, classes: tuple[str, str], colours: tuple[Colour, Colour], seed: int) -> Path:
    random = np.random.default_rng(seed)
    for index in range(TRAINED + TESTED):
        label = index % 2
        pixels = np.asarray(colours[label]) + 40 * random.standard_normal((32, 32, 3))
        path = root / ("train" if index < TRAINED else "test") / classes[label] / f"{seed}-{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return root


def _another(branch: Branch, number: int, base: BaseModule) -> Branch:
    """Return the branch with every number of plugin and images moved by a thousandth."""
    random = torch.Generator().manual_seed(number)

    def moved(values: torch.Tensor) -> torch.Tensor:
        return (values * (1 + 1e-3 * torch.randn(values.shape, generator=random))).to(values.dtype)

    factors = {
        site: replace(one, down=moved(one.down), up=moved(one.up)) for site, one in branch.plugin.factors.items()
    }
    said = branch.manifest
    made = Branch.build(
        replace(branch.plugin, factors=factors),
        replace(branch.distilled, images=moved(branch.distilled.images)),
        contributor=said.contributor,
        task=said.task,
        base=base,
        training_images=said.training_images,
        recipe=said.recipe,
        seed=number,
        validation=said.validation,
    )
    names = [name for name in SiteFacts.__dataclass_fields__ if name not in ("statistics", "privacy")]
    facts = SiteFacts(statistics=branch.statistics, **{name: getattr(said, name) for name in names})
    return made.with_facts(facts, base)
