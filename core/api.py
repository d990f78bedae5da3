"""The public API, which ``import medforge`` gives: load what was made, ask it, merge it, score it, read a forge's log.

It stands above the rooms and may use them all; nothing of ours imports it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from medforge.aggregator.forge.reader import open_reader
from medforge.aggregator.ledger.commit import Commit, check_chain
from medforge.aggregator.merge import Listing as MergeListing
from medforge.aggregator.merge import choose_settings, listings
from medforge.base import BaseModule, load_base
from medforge.branch import Branch
from medforge.client.data.catalogue import open_task as open_sized_task
from medforge.client.data.split_names import SplitName
from medforge.client.data.task import Task
from medforge.client.evaluate import score_base, score_item, score_plugin
from medforge.distilled import DistilledDataset
from medforge.errors import InvalidInput, MedForgeError
from medforge.files import AnyPath
from medforge.forge_item import ForgeItem
from medforge.metrics import Metrics
from medforge.model.merged_model import MergedModel
from medforge.model.merging import merge_branches, merge_plugins
from medforge.model.opening import open_model
from medforge.plugin import Plugin
from medforge.prediction import Prediction

__all__ = [
    "BaseModule",
    "Branch",
    "Commit",
    "DistilledDataset",
    "ForgeItem",
    "MedForgeError",
    "MergeListing",
    "MergedModel",
    "Metrics",
    "Plugin",
    "Prediction",
    "Task",
    "load",
    "load_base",
    "load_branch",
    "load_item",
    "load_plugin",
    "merge",
    "merge_methods",
    "open_task",
    "read_log",
    "score",
]


def load(
    model: AnyPath,
    *,
    base: str | BaseModule | None = None,
    commit: str | None = None,
    device: str = "auto",
    dtype: str = "fp32",
) -> MergedModel:
    """Load a merged model, ready to answer: a directory that ``medforge checkout`` wrote, or a forge's.

    Of a forge it is the newest commit that sites have reviewed (the newest of all where none reviews), or ``commit``.
    The base module is the one that the model names, unless ``base`` gives it. Raises InvalidInput, BaseMismatch or
    CorruptFile with the reason.
    """
    return open_model(Path(model), commit=commit, base=base, device=device, dtype=dtype)


def load_plugin(directory: AnyPath) -> Plugin:
    """Load a plugin from a PEFT adapter directory, such as ``WORKSPACE/training/plugin``.

    Raises InvalidInput, InvalidBranch or CorruptFile with the reason.
    """
    return Plugin.load(Path(directory))


def load_branch(directory: AnyPath) -> Branch:
    """Load a branch, such as ``WORKSPACE/branch``: plugin, distilled dataset and manifest, every digest checked.

    Raises InvalidInput, InvalidBranch or CorruptFile with the reason.
    """
    return Branch.load(Path(directory))


def load_item(directory: AnyPath) -> ForgeItem:
    """Load a forge item, a merged model, from a directory that ``medforge checkout`` or ``ForgeItem.save`` wrote.

    Raises InvalidInput or CorruptFile with the reason.
    """
    return ForgeItem.load(Path(directory))


def open_task(source: str, base: BaseModule, seed: int = 0, scoring: SplitName | None = None) -> Task:
    """Open a data source, ``NAME:PATH[,option=value]*``, as a task whose images have the size that ``base`` takes.

    The splits (``train``, ``validation``, ``test``) depend on ``seed`` and the data alone. With ``scoring``, the name
    of the split that a model is to be scored on, the others may be missing. Raises InvalidInput naming the file, class
    or option that cannot be used.
    """
    return open_sized_task(source, base.preprocessing, seed, scoring=scoring)


def score(model: Plugin | ForgeItem | None, base: BaseModule, task: Task, split: SplitName = "test") -> Metrics:
    """Score the base module with a plugin, with a forge item or (None) alone on one split of a task.

    Raises BaseMismatch where the model belongs to another base module.
    """
    if model is None:
        return score_base(base, task, split)
    if isinstance(model, Plugin):
        return score_plugin(model, base, task, split)
    return score_item(model, base, task, split)


def merge_methods() -> dict[str, MergeListing]:
    """Return every usable merge method by name, with what it says of itself; also those of installed packages."""
    return {name: listing for name, listing in listings().items() if isinstance(listing, MergeListing)}


def merge(
    parts: Sequence[Plugin] | Sequence[Branch],
    *,
    method: str,
    base: BaseModule,
    level: str | None = None,
    coefficients: str | None = None,
    parameters: Mapping[str, float] | None = None,
    seed: int = 0,
    weights: str | None = None,
    scaling: str | None = None,
) -> ForgeItem:
    """Merge plugins, or branches in their order of arrival, by the name of a method, such as ``"ties"``.

    Branches give the forge item that a forge would make of them. Plugins alone are enough for a method that does not
    search on distilled data (``not merge_methods()[method].distilled``), in any order. What is left out (``level``,
    ``coefficients``, ``parameters``) is the method's default. ``weights="images"`` and ``scaling="distilled"`` (see
    `MethodSettings`) are read from branches.

    Raises InvalidInput for a method, mode or parameter that does not exist, for nothing to merge and for plugins where
    branches are needed; BaseMismatch or InvalidBranch for parts that do not fit the base or each other.
    """
    settings = choose_settings(
        method=method,
        level=level,
        coefficients=coefficients,
        parameters=dict(parameters or {}),
        seed=seed,
        weights=weights,
        scaling=scaling,
    )
    given = list(parts) if isinstance(parts, Iterable) else []
    branches = [part for part in given if isinstance(part, Branch)]
    plugins = [part for part in given if isinstance(part, Plugin)]
    if not given or len(given) not in (len(branches), len(plugins)):
        raise InvalidInput("merge takes one or more plugins, or one or more branches; give a list of either kind")
    return merge_branches(branches, base, settings) if branches else merge_plugins(plugins, base, settings)


def read_log(forge: AnyPath) -> list[Commit]:
    """Read the commits of a forge's main branch, oldest first, from the forge's directory; also while it is served.

    Raises InvalidInput where there is no forge, CorruptFile where the chain of commits is broken.
    """
    with open_reader(Path(forge), None) as reader:
        commits = reader.commits()
    check_chain(commits)
    return commits
