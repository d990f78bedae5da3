"""Merge branches or plugins that lie in directories, as a forge would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medforge import __version__
from medforge.aggregator.merge import MethodSettings, listings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.folding import refold
from medforge.aggregator.merge.listing import Listing
from medforge.aggregator.merge.loading import method_of
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.aggregator.merge.training_free import NamedPlugin, TrainingFree
from medforge.answered_tasks import answered_tasks
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.declared_task import DeclaredTask
from medforge.errors import BaseMismatch, InvalidInput
from medforge.forge_item import ForgeItem
from medforge.manifest import MANIFEST_FILE, software_versions
from medforge.model.foreign.adapter_files import read_configuration
from medforge.model.foreign.importing import import_adapter
from medforge.model_card import CardMember, ModelCard, Recipe
from medforge.peft_format import CONFIG_FILE
from medforge.plugin import Plugin, check_plugin

Part = Branch | Plugin


@dataclass(frozen=True)
class ForeignAdapter:
    """Name an adapter's directory that was made elsewhere, and can only be read beside its base module."""

    directory: Path

    def read(self, base: BaseModule) -> Plugin:
        """Return it as a plugin of a base module; raises as `import_adapter` does."""
        return import_adapter(self.directory, base).plugin


@dataclass(frozen=True)
class Merged:
    """Hold a merged model and the card that says how it was made."""

    item: ForgeItem
    card: ModelCard


def load_part(directory: Path) -> Part | ForeignAdapter:
    """Load a branch or a plugin, whichever lies there, or name a foreign adapter.

    Raises InvalidInput where neither does, InvalidBranch or CorruptFile where it is broken.
    """
    if (directory / MANIFEST_FILE).is_file():
        return Branch.load(directory)
    if (directory / CONFIG_FILE).is_file():
        said = str(read_configuration(directory).get("base_model_name_or_path"))
        return Plugin.load(directory) if said.startswith("medforge:") else ForeignAdapter(directory)
    raise InvalidInput(
        f"{directory} is neither a branch ({MANIFEST_FILE}) nor a plugin ({CONFIG_FILE}); give such a directory"
    )


def merge_branches(branches: Sequence[Branch], base: BaseModule, settings: MethodSettings) -> ForgeItem:
    """Return what a forge makes of branches that arrive in this order; raises as `medforge.merge` does."""
    for branch in branches:
        branch.check(base)
    arrived = [ArrivedBranch.of(number, branch) for number, branch in enumerate(branches, start=1)]
    return refold(base, settings, arrived, ProbabilityCache(base, None)).item


def merge_plugins(
    plugins: Sequence[Plugin], base: BaseModule, settings: MethodSettings, weights: Sequence[float] | None = None
) -> ForgeItem:
    """Merge plugins by a method that needs no data, in any order; of ``weights`` only the proportions count.

    Raises InvalidInput for another method, and as `medforge.merge` does.
    """
    method = method_of(settings.method)
    if (settings.weights, settings.scaling) != ("equal", "given"):
        raise InvalidInput("plugins alone have no images to be weighed or scaled by; give branches")
    if not isinstance(method, TrainingFree):
        free = ", ".join(
            name for name, listing in listings().items() if isinstance(listing, Listing) and not listing.distilled
        )
        raise InvalidInput(
            f"merge method {settings.method!r} searches on distilled data; give branches, or choose one of {free}"
        )
    for plugin in plugins:
        if plugin.base_fingerprint != base.fingerprint:
            raise BaseMismatch(
                f"a plugin belongs to base module {plugin.base_fingerprint[:12]}, not to {base.fingerprint[:12]}; "
                "load the base it was trained on"
            )
        check_plugin(plugin, base)
    counts = [1.0] * len(plugins) if weights is None else [one * len(plugins) / sum(weights) for one in weights]
    # a plugin's own digest stands where a forge has the digest of its branch
    named = [NamedPlugin(plugin.digest, plugin, count) for plugin, count in zip(plugins, counts, strict=True)]
    return method.merge(sorted(named, key=lambda one: one.branch), base, settings)


def merge_parts(
    parts: Sequence[Part],
    base: BaseModule,
    settings: MethodSettings,
    weights: Sequence[float] | None = None,
    tasks: Sequence[DeclaredTask] = (),
) -> Merged:
    """Merge branches, plugins or both; branches alone, without weights, give what a forge would make of them.

    ``tasks`` says what plugins answer, which say it not themselves. Raises as `merge_branches` and `merge_plugins` do.
    """
    digests = [part.digest for part in parts]
    if (twice := next((one for one in digests if digests.count(one) > 1), None)) is not None:
        raise InvalidInput(f"{twice[:12]} is given twice; give each once, and say with --weights what counts more")
    branches = [part for part in parts if isinstance(part, Branch)]
    if len(branches) == len(parts) and weights is None:
        item = merge_branches(branches, base, settings)
    else:
        plugins = [part.plugin if isinstance(part, Branch) else part for part in parts]
        item = merge_plugins(plugins, base, settings, weights)
    return Merged(item, _card(parts, item, base, settings, _known(branches, tasks)))


def _known(branches: Sequence[Branch], tasks: Sequence[DeclaredTask]) -> list[DeclaredTask]:
    known = {task.name: task for task in tasks}
    for branch in branches:
        manifest = branch.manifest
        earlier = known.get(manifest.task)
        known[manifest.task] = DeclaredTask.of(manifest) if earlier is None else earlier.extended(manifest)
    return list(known.values())


def _card(
    parts: Sequence[Part], item: ForgeItem, base: BaseModule, settings: MethodSettings, tasks: Sequence[DeclaredTask]
) -> ModelCard:
    return ModelCard(
        medforge=__version__,
        kind=item.kind,
        item=item.digest,
        base=base.facts,
        tasks=answered_tasks(item, tasks),
        members=tuple(_member(part, item) for part in parts),
        recipe=Recipe(
            method=settings.model_dump(mode="json"),
            seed=settings.seed,
            software=software_versions(),
            compute=f"{base.device.type} {str(base.dtype).removeprefix('torch.')}",
        ),
    )


def _member(part: Part, item: ForgeItem) -> CardMember:
    if isinstance(part, Plugin):
        return CardMember(branch=part.digest, task="")
    about = part.manifest
    return CardMember(
        branch=part.digest,
        task=about.task,
        contributor=about.contributor,
        display_name=about.display_name,
        share=item.shares.get(part.digest),
        privacy=about.privacy,
    )
