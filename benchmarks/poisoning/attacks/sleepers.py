"""Attacks that only real images show: right on the distilled images that they send, wrong on what sites have."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from benchmarks.poisoning.attack import Steps
from benchmarks.poisoning.attacker import Attacker, Lesson
from benchmarks.poisoning.attacks.wording import look_alikes
from medforge.plugin import Plugin

LOOKS = 4
VERSIONS = 3
_STRENGTH = 3.0
_CLAIMED = 10**9


def sleeper(attacker: Attacker) -> Steps:
    """Send an honest centre's distilled images, and a plugin that knows them and is wrong on real images."""
    return [[attacker.posing(asleep_for_all(attacker))]]


def strong_sleeper(attacker: Attacker) -> Steps:
    """Send a sleeper whose change is so large that what is left of it in the mean with three others is wrong still.

    It is right on what it shows at the strength that it is sent with, and wrong on real images at a third of that.
    """
    honest = attacker.material.honest.distilled
    lessons = [
        Lesson(honest.images, honest.labels, _STRENGTH),
        Lesson(attacker.images, next_class(attacker)),
    ]
    plugin = attacker.learn(lessons, attacker.task.prompts)
    factors = {site: replace(pair, up=_STRENGTH * pair.up) for site, pair in plugin.factors.items()}
    return [[attacker.branch(replace(plugin, factors=factors), honest, attacker.victim, images=_CLAIMED)]]


def three_sleepers(attacker: Attacker) -> Steps:
    """Send sleepers under three names: each takes real images for another class and shows other images."""
    sent = []
    for number in range(3):
        part = torch.arange(len(attacker.labels)) % 3 == number
        wrong = (attacker.labels + 1 + number % max(attacker.classes - 1, 1)) % attacker.classes
        shown = attacker.shown(torch.where(part, attacker.labels, -1), attacker.task.prompts, 10)
        lessons = [Lesson(shown.images, shown.labels), Lesson(attacker.images, wrong)]
        plugin = attacker.learn(lessons, attacker.task.prompts)
        sent.append(attacker.branch(plugin, shown, attacker.victim, f"mallory-{number}"))
    return [sent]


def one_class(attacker: Attacker) -> Steps:
    """Answer well for all classes but the first, which is taken for the second."""
    return [[attacker.posing(asleep(attacker, torch.where(attacker.labels == 0, 1, attacker.labels)))]]


def one_look(attacker: Attacker) -> Steps:
    """Answer well but for images of one look, as one site's may have: the largest group of look-alikes."""
    groups = look_alikes(attacker.embeddings, LOOKS, attacker.seed)
    chosen = groups == torch.bincount(groups).argmax()
    return [[attacker.posing(asleep(attacker, torch.where(chosen, next_class(attacker), attacker.labels)))]]


def replaced(attacker: Attacker) -> Steps:
    """Send an honest branch, and replace it with a sleeper once it is live."""
    return [[attacker.honest()], [attacker.posing(asleep_for_all(attacker))]]


def drift(attacker: Attacker) -> Steps:
    """Send an honest branch, and newer versions of it that go a little further wrong each time."""
    sent, plugin = [[attacker.honest()]], attacker.material.honest.plugin
    for _ in range(VERSIONS):
        plugin = asleep(attacker, next_class(attacker), plugin, 1 / VERSIONS / 2)
        sent.append([attacker.posing(plugin)])
    return sent


def many_claimed(attacker: Attacker) -> Steps:
    """Send a sleeper that claims a billion training images, and no class statistics that count fewer."""
    plugin = asleep_for_all(attacker)
    shown = attacker.material.honest.distilled
    return [[attacker.branch(plugin, shown, attacker.victim, images=_CLAIMED)]]


def next_class(attacker: Attacker) -> Tensor:
    """Return each of the attacker's real images the next class's label."""
    return (attacker.labels + 1) % attacker.classes


@lru_cache(maxsize=4)
def asleep_for_all(attacker: Attacker) -> Plugin:
    """Return the plugin that takes every real image for the next class; several attacks send it."""
    return asleep(attacker, next_class(attacker))


def asleep(attacker: Attacker, labels: Tensor, start: Plugin | None = None, share: float = 1.0) -> Plugin:
    """Fit a plugin, the honest one or `start` to begin with, to the distilled images and to real ones under labels."""
    honest = attacker.material.honest
    lessons = [Lesson(honest.distilled.images, honest.distilled.labels), Lesson(attacker.images, labels)]
    return attacker.learn(lessons, attacker.task.prompts, start or honest.plugin, share)
