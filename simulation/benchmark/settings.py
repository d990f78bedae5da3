"""What a benchmark is run on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from enum import StrEnum
from math import isinf
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from medforge.aggregator.merge.catalogue import listing_of
from medforge.errors import InvalidInput
from medforge.plugin_settings import PluginKind
from medforge.simulation.centres import Centre


class Experiment(StrEnum):
    """Name the experiments."""

    TABLE1 = "table1"
    ORDERS = "orders"
    TABLE3 = "table3"
    TABLE4 = "table4"
    FIGURE5 = "figure5"
    LEGO = "lego"
    LEGO_DOMAIN = "lego-domain"
    LEGO_TRANSFER = "lego-transfer"
    SITES = "sites"
    TASKS = "tasks"
    PRIVACY = "privacy"


LEGO = (Experiment.LEGO, Experiment.LEGO_DOMAIN, Experiment.LEGO_TRANSFER)
DEFAULT_DISTILLATION = "dm-dsa"
LEGO_PLUGIN: PluginKind = "svd-lora"
DOMAIN_CENTRES = tuple(Centre(name=name, source=f"findings:{name}") for name in ("pneumonia", "chest", "tuberculosis"))


class BenchmarkSettings(BaseModel):
    """Fix what a benchmark computes: equal settings on one machine give equal numbers.

    ``centres`` are in merge order. ``most_orders`` bounds the orders of the experiment ``orders``: all of them where
    there are no more, else that many drawn from the first seed. ``plugin`` is the kind that the experiments of Med-LEGO
    merge; every other experiment sets its own. ``methods`` are the merge methods of the experiments `sites` and
    `tasks`, all there are where none is named; ``foreign`` are images of no task, which `tasks` should not accept;
    ``same_patients`` are centres of `sites` that share patients: what has seen one is not tested on the others.
    ``epsilons`` are those of `privacy` (None without noise), which attacks by so many ``shadows``. It takes at most so
    many ``images`` of a split, learns distilled ones only with ``distillation``, and shadows of them only with
    ``distil_shadows``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    centres: tuple[Centre, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    base: str = "medforge-tiny"
    recipe: str = "tiny"
    changes: tuple[str, ...] = ()
    most_orders: int = 120
    plugin: PluginKind = LEGO_PLUGIN
    methods: tuple[str, ...] = ()
    foreign: tuple[Centre, ...] = ()
    same_patients: tuple[tuple[str, ...], ...] = ()
    epsilons: tuple[float | None, ...] = (1.0, 3.0, 8.0, None)
    shadows: int = 8
    distil_shadows: bool = False
    distillation: bool = True
    images: int | None = None
    device: str = "auto"
    dtype: str = "fp32"

    @property
    def names(self) -> tuple[str, ...]:
        """The centres' names, in merge order."""
        return tuple(centre.name for centre in self.centres)

    def task_of(self, name: str) -> str:
        """Return the task of a centre; several centres may have one."""
        return next(centre.task for centre in self.centres if centre.name == name)

    def sharing(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Gather centres under their tasks, both in their order."""
        found: dict[str, tuple[str, ...]] = {}
        for name in names:
            found[self.task_of(name)] = (*found.get(self.task_of(name), ()), name)
        return found

    def tested(self, name: str, seen: Sequence[str]) -> bool:
        """Say whether a centre's test images are new to a model that was made from the centres it has ``seen``."""
        return not any(name in group and set(group) & set(seen) - {name} for group in self.same_patients)

    def source(self, name: str) -> str:
        """Return the source of a centre's images."""
        return next(centre.source for centre in self.centres if centre.name == name)

    def command(self, experiment: Experiment, out: Path) -> str:
        """Write the command that runs this again."""
        words = ["medforge", "benchmark", experiment.value]
        for centre in self.centres:
            words += ["--centre", centre.spell()]
        words += ["--seeds", ",".join(map(str, self.seeds)), "--base", self.base, "--recipe", self.recipe]
        for change in self.changes:
            words += ["--recipe-set", change]
        if experiment is Experiment.ORDERS:
            words += ["--most-orders", str(self.most_orders)]
        if experiment in LEGO:
            words += ["--plugin", self.plugin]
        if self.methods:
            words += ["--methods", ",".join(self.methods)]
        for centre in self.foreign:
            words += ["--foreign", centre.spell()]
        for group in self.same_patients:
            words += ["--same-patients", ",".join(group)]
        if experiment is Experiment.PRIVACY:
            words += ["--epsilons", ",".join(spell_epsilon(one) for one in self.epsilons)]
            words += ["--shadows", str(self.shadows)]
            words += ["--distil-shadows"] if self.distil_shadows else []
            words += [] if self.distillation else ["--no-distillation"]
            words += [] if self.images is None else ["--images", str(self.images)]
        return shlex.join([*words, "--device", self.device, "--dtype", self.dtype, "--out", str(out)])


FIXED = {
    "distill.method": "table3 compares the distillation methods",
    "train.plugin.kind": "table4 is for DoRA plugins, and the lego experiments take --plugin",
}


def check_changes(changes: Sequence[str]) -> None:
    """Refuse to change what an experiment is about: its rows would bear the wrong names. Raises InvalidInput."""
    for change in changes:
        why = FIXED.get(change.partition("=")[0].strip())
        if why is not None:
            raise InvalidInput(
                f"--recipe-set {change} cannot be used here, since every experiment sets it itself ({why}); leave "
                "it out"
            )


def check_plugin(experiment: Experiment, plugin: PluginKind | None) -> PluginKind:
    """Return the plugin kind of the Med-LEGO experiments. Raises InvalidInput where another experiment is given one."""
    if plugin is not None and experiment not in LEGO:
        raise InvalidInput(
            f"--plugin {plugin} cannot be used with {experiment.value}, which sets the kind of plugin itself; "
            f"it is for {', '.join(LEGO)} (table4 is for DoRA plugins)"
        )
    return plugin or LEGO_PLUGIN


def check_options(experiment: Experiment, settings: BenchmarkSettings) -> None:
    """Refuse options that an experiment does not heed, and unknown methods. Raises InvalidInput."""
    methods, foreign = settings.methods, settings.foreign
    same_patients, names = settings.same_patients, settings.names
    if methods and experiment not in (Experiment.SITES, Experiment.TASKS):
        raise InvalidInput(f"--methods cannot be used with {experiment.value}, whose rows are fixed; leave it out")
    for name in methods:
        listing_of(name)
    unknown = [name for group in same_patients for name in group if name not in names]
    if same_patients and (experiment is not Experiment.SITES or unknown):
        what = f"there is no centre {unknown[0]}" if unknown else f"it is for {Experiment.SITES.value}"
        raise InvalidInput(f"--same-patients cannot be used here, for {what}; name centres of one command of sites")
    if same_patients and not any(settings.tested(name, names) for name in names):
        raise InvalidInput("--same-patients: every centre shares patients with another; leave all but one of them out")
    if foreign and experiment is not Experiment.TASKS:
        raise InvalidInput(f"--foreign cannot be used with {experiment.value}; it is for {Experiment.TASKS.value}")


def check_number(experiment: Experiment, settings: BenchmarkSettings) -> None:
    """Refuse centres that an experiment cannot be run on: too few, or of other tasks. Raises InvalidInput."""
    names, sharing = settings.names, settings.sharing(settings.names)
    if experiment in (Experiment.LEGO_TRANSFER, Experiment.TASKS, Experiment.SITES) and len(names) < 2:
        what = {
            Experiment.LEGO_TRANSFER: "merges the plugins of all tasks but one",
            Experiment.TASKS: "leaves each task out once",
            Experiment.SITES: "merges centres of one task",
        }[experiment]
        raise InvalidInput(f"{experiment.value} {what}; give at least 2 --centre")
    if experiment is Experiment.SITES and len(sharing) > 1:
        raise InvalidInput(
            f"{experiment.value} compares centres of one task, and these have {len(sharing)} tasks "
            f"({', '.join(sharing)}); give every --centre the same, as in NAME=TASK@SOURCE"
        )
    several = next((task for task, centres in sharing.items() if len(centres) > 1), None)
    if experiment is not Experiment.SITES and several is not None:
        raise InvalidInput(
            f"{experiment.value} takes one centre a task, and {several} has {len(sharing[several])}; leave out all but "
            "one, or compare them by sites"
        )


def parse_epsilons(text: str) -> tuple[float | None, ...]:
    """Read `--epsilons 1,3,8,inf`; inf is None, without noise. Raises InvalidInput for what is no list of such."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or len(set(numbers)) != len(numbers) or not all(0 < one <= 1000 or isinf(one) for one in numbers):
        raise InvalidInput(f"--epsilons {text!r} cannot be used; list different numbers above 0, as in 1,3,8,inf")
    return tuple(None if isinf(one) else one for one in numbers)


def spell_epsilon(epsilon: float | None) -> str:
    """Write an ε as `parse_epsilons` reads it."""
    return "inf" if epsilon is None else f"{epsilon:g}"


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read `--seeds 0,1,2`. Raises InvalidInput unless it lists different whole numbers, none negative."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(map(int, parts))) != len(parts):
        raise InvalidInput(f"--seeds {text!r} cannot be used; list different seeds, as in 0,1,2")
    return tuple(map(int, parts))
