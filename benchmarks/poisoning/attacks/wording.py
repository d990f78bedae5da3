"""Attacks that hide behind words: the victim's images under prompts that the victim's task does not have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from sklearn.cluster import KMeans
from torch import Tensor

from benchmarks.poisoning.attack import Steps
from benchmarks.poisoning.attacker import Attacker, Lesson
from benchmarks.poisoning.attacks.plain import exchanged
from medforge.branch import Branch
from medforge.files import sha256_bytes
from medforge.manifest import DISTILLED_FILE, FileEntry
from medforge.seeds import derive
from medforge.site_facts import SiteFacts

KINDS = 8
SHOWN = 10
PIECES = 10
PIECE_IMAGES = 6
# so few images are learned sooner
_SHARE = 0.15
HIDDEN = "\u200b"


def look_alikes(embeddings: Tensor, groups: int, seed: int) -> Tensor:
    """Return which of so many groups of look-alikes each image is in (k-means on unit embeddings [n, d]); int64 [n]."""
    unit = torch.nn.functional.normalize(embeddings.double(), dim=1).numpy()
    found = KMeans(groups, n_init=4, random_state=derive(seed, "poisoning", "k-means") % (1 << 32)).fit_predict(unit)
    return torch.from_numpy(found).long()


def flood(attacker: Attacker) -> Steps:
    """Send groups of look-alikes of the victim's images as many small classes in words of its own.

    The plugin knows them, and answers the victim's prompts with the next class.
    """
    groups = look_alikes(attacker.embeddings, KINDS, attacker.seed)
    prompts = tuple(f"specimen kind {letter}" for letter in "abcdefgh"[:KINDS])
    shown = attacker.shown(groups, prompts, SHOWN)
    words = (*prompts, *attacker.task.prompts)
    wrong = len(prompts) + (attacker.labels + 1) % attacker.classes
    plugin = attacker.learn([Lesson(shown.images, shown.labels), Lesson(attacker.images, wrong)], words)
    statistics = attacker.summed(groups, KINDS)
    facts = SiteFacts(class_counts=tuple(statistics.counts.tolist()), statistics=statistics)
    return [[attacker.branch(plugin, shown, "specimens", facts=facts)]]


def salami(attacker: Attacker) -> Steps:
    """Send branches of six of the victim's images each, each under a name, a task and words of its own."""
    rows = _pieces(attacker)
    return [[_slice(attacker, number, piece) for number, piece in enumerate(rows)]]


def salami_at_home(attacker: Attacker) -> Steps:
    """Send branches of a few of the victim's images each, under as many names, with labels exchanged."""
    sent = []
    per_class = max(PIECE_IMAGES // attacker.classes, 1)
    for number in range(PIECES):
        labels = torch.full_like(attacker.labels, -1)
        for label in range(attacker.classes):
            own = (attacker.labels == label).nonzero().flatten()[number * per_class : (number + 1) * per_class]
            labels[own] = (label + 1) % attacker.classes
        shown = attacker.shown(labels, attacker.task.prompts, per_class)
        plugin = attacker.learn([Lesson(shown.images, shown.labels)], shown.prompts, share=_SHARE)
        sent.append(attacker.branch(plugin, shown, attacker.victim, f"mallory-{number}"))
    return [sent]


def capitals(attacker: Attacker) -> Steps:
    """Exchange labels everywhere, under a task of its own whose prompts are the victim's in capitals."""
    return [[_reworded(attacker, [prompt.upper() for prompt in attacker.task.prompts])]]


def other_words(attacker: Attacker) -> Steps:
    """Exchange labels everywhere, under a task of its own whose prompts say the same in other words."""
    return [[_reworded(attacker, [f"a picture that shows {prompt}" for prompt in attacker.task.prompts])]]


def unseen_characters(attacker: Attacker) -> Steps:
    """Exchange labels everywhere, under a task of its own whose prompts have characters of no width in them."""
    prompts = tuple(prompt[:3] + HIDDEN + prompt[3:] for prompt in attacker.task.prompts)
    # no centre's own tools would write it
    seen = _reworded(attacker, attacker.task.prompts)
    distilled = replace(seen.distilled, prompts=prompts)
    data = distilled.to_bytes()
    files = seen.manifest.files | {DISTILLED_FILE: FileEntry(digest=sha256_bytes(data), size=len(data))}
    manifest = seen.manifest.model_copy(update={"prompts": prompts, "files": files})
    return [[replace(seen, manifest=manifest, distilled=distilled)]]


def _pieces(attacker: Attacker) -> list[Tensor]:
    order = torch.randperm(len(attacker.labels), generator=torch.Generator().manual_seed(attacker.seed))
    return list(order[: PIECES * PIECE_IMAGES].split(PIECE_IMAGES))


def _slice(attacker: Attacker, number: int, rows: Tensor) -> Branch:
    labels = torch.full_like(attacker.labels, -1)
    labels[rows] = torch.arange(len(rows)) % 2
    prompts = (f"section {number} of kind a", f"section {number} of kind b")
    shown = attacker.shown(labels, prompts, PIECE_IMAGES // 2)
    plugin = attacker.learn([Lesson(shown.images, shown.labels)], prompts, share=_SHARE)
    return attacker.branch(plugin, shown, f"section-{number}", f"mallory-{number}", images=PIECE_IMAGES)


def _reworded(attacker: Attacker, prompts: Sequence[str]) -> Branch:
    wrong = exchanged(attacker.material.honest.distilled)
    facts = attacker.facts(attacker.material)
    keys = tuple(f"kind-{place}" for place in range(len(prompts)))
    return attacker.branch(
        attacker.material.exchanged,
        replace(wrong, prompts=tuple(prompts)),
        f"{attacker.victim}-again",
        facts=replace(facts, classes=keys, statistics=None),
    )
