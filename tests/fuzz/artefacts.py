"""Valid artefacts, taken apart: what mutations start from. As small as a real base module and real branches can be."""

from dataclasses import dataclass
from functools import cache
from typing import get_args

import open_clip
import torch

from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.declared_task import TaskClass
from medforge.forge_item import ForgeItem, FusedPlugin, Level, Member, Mixture, Routed, WeightChange
from medforge.manifest import BRANCH_FILES, DISTILLED_FILE, LEVELS, STATISTICS_FILE
from medforge.plugin import PluginKind
from medforge.prototype_gate import PrototypeGate
from medforge.routed_task import RoutedTask
from medforge.site_facts import SiteFacts
from medforge.task_card import TaskCard, TaskMember
from medforge.task_spread import TaskSpread
from tests.fuzz.mutations import Parts
from tests.making import branch_around, make_branch, make_ragged

_CONFIG = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 8, "layers": 1, "width": 16, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}
CONFIG_PART, WEIGHTS_PART, DISTILLED_PART = BRANCH_FILES
assert DISTILLED_PART == DISTILLED_FILE


@cache
def smallest_base() -> BaseModule:
    """A real CLIP with random weights, so small that a branch on it has a few kilobytes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        clip = open_clip.CLIP(**_CONFIG)
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    return BaseModule(clip, tokenizer, "smallest", _CONFIG, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "cpu")


@cache
def branches() -> tuple[Branch, ...]:
    """A branch of every kind of plugin, and one whose layers differ in rank."""
    base = smallest_base()
    kinds = enumerate(get_args(PluginKind))
    return (
        *(make_branch(base, number, kind=kind, rank=1) for number, kind in kinds),
        branch_around(base, make_ragged(base)),
    )


@cache
def telling_branches() -> tuple[Branch, ...]:
    """Two branches that say all they can of their sites."""
    base = smallest_base()
    return tuple(make_branch(base, seed, rank=1).with_facts(_facts(base, seed), base) for seed in range(2))


def _facts(base: BaseModule, seed: int) -> SiteFacts:
    rows = 0.1 * torch.randn(10, base.embed_dim, generator=torch.Generator().manual_seed(seed))
    return SiteFacts(
        modality="histology",
        classes=("benign", "malignant"),
        class_counts=(5, 5),
        distances=tuple(1.0 + place for place in range(len(LEVELS))),
        temperature=1.5,
        statistics=ClassStatistics.of(rows, torch.arange(10) % 2, 2),
    )


@cache
def items() -> tuple[ForgeItem, ...]:
    """A forge item of every kind."""
    members = tuple(Member(branch.digest, branch.plugin, 0.5) for branch in branches()[:1])
    gate = PrototypeGate.fit([torch.eye(2)], [torch.tensor([0, 1])])
    levels: tuple[Level, ...] = get_args(Level)
    mixtures = [Mixture(members, level) for level in levels] + [Mixture(members, "output", gate)]
    dense = WeightChange.of(smallest_base(), branches()[0].plugin.deltas(smallest_base()))
    return (FusedPlugin(branches()[0].plugin), dense, *mixtures)


@cache
def routed() -> Routed:
    """A routed forge item of one task."""
    base, branch = smallest_base(), branches()[0]
    statistics = ClassStatistics.of(base.embed_all(branch.distilled.images), branch.distilled.labels, 2)
    measured = TaskSpread.of(statistics, 0.5)
    distances = tuple(float(place) for place in range(len(LEVELS)))
    card = TaskCard(
        name="lung",
        classes=(TaskClass(key="a", prompt="benign"), TaskClass(key="b", prompt="malignant")),
        members=(TaskMember(branch=branch.digest, weight=1),),
        distances=distances,
    )
    spread = TaskSpread(measured.means.float(), measured.weights, measured.covariance.float(), distances)
    return Routed((RoutedTask(card, spread, FusedPlugin(branch.plugin)),))


def split(safetensors: bytes) -> Parts:
    """Take a safetensors file apart: its header, and the data. `joined` puts the length in front of the header."""
    length = int.from_bytes(safetensors[:8], "little")
    return safetensors[8 : 8 + length].rstrip(b" "), safetensors[8 + length :]


def joined(header: bytes, data: bytes) -> bytes:
    """Put a safetensors file together, padded to eight bytes as its writers do."""
    padded = header + b" " * (-len(header) % 8)
    return len(padded).to_bytes(8, "little") + padded + data


def branch_parts(branch: Branch) -> Parts:
    """Take a branch apart: manifest, adapter config, and header and data of weights, images and, if any, statistics."""
    blobs = branch.blobs()
    return (
        branch.manifest.to_bytes(),
        blobs[CONFIG_PART],
        *split(blobs[WEIGHTS_PART]),
        *split(blobs[DISTILLED_PART]),
        *(split(blobs[STATISTICS_FILE]) if STATISTICS_FILE in blobs else ()),
    )


@dataclass(frozen=True)
class Files:
    """The files of a branch, as bytes."""

    manifest: bytes
    blobs: dict[str, bytes]

    @classmethod
    def of(cls, parts: Parts) -> "Files":
        """Put a branch's parts together."""
        manifest, config, *tensors = parts
        blobs = {
            CONFIG_PART: config,
            WEIGHTS_PART: joined(tensors[0], tensors[1]),
            DISTILLED_PART: joined(tensors[2], tensors[3]),
        }
        if len(tensors) > 4:
            blobs[STATISTICS_FILE] = joined(tensors[4], tensors[5])
        return cls(manifest, blobs)
