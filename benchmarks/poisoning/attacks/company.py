"""Attacks on the others themselves: their branches copied, contradicted or passed over, and their commits reviewed."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.poisoning.attack import Steps
from benchmarks.poisoning.attacker import Attacker, Lesson
from benchmarks.poisoning.attacks.plain import exchanged
from benchmarks.poisoning.attacks.sleepers import asleep_for_all, next_class
from benchmarks.poisoning.attacks.wording import look_alikes
from medforge.branch import Branch
from medforge.seeds import generator
from medforge.simulation.benchmark.jobs.artefacts import assemble

_NOISE = 0.05


def copy(attacker: Attacker) -> Steps:
    """Send the victim's own plugin, with its distilled images under a little noise."""
    theirs = victims_branch(attacker)
    images = theirs.distilled.images.float()
    random = generator(attacker.seed, "poisoning", "copy")
    noised = (images + _NOISE * torch.randn(images.shape, generator=random)).to(torch.float16)
    return [[attacker.posing(theirs.plugin, replace(theirs.distilled, images=noised))]]


def victims_branch(attacker: Attacker) -> Branch:
    """Return the branch of the first honest centre of the victim's task."""
    settings = attacker.bench.settings
    first = settings.sharing(settings.names)[attacker.victim][0]
    return assemble(attacker.bench, first, attacker.seed, "lora", "dm-dsa")


def exchanged_and_posing(attacker: Attacker) -> Steps:
    """Exchange labels everywhere, with honest facts beside."""
    return [[attacker.posing(attacker.material.exchanged, exchanged(attacker.material.honest.distilled))]]


def two_who_agree(attacker: Attacker) -> Steps:
    """Exchange labels everywhere under two names, so that each is the other's witness."""
    first = attacker.posing(attacker.material.exchanged, exchanged(attacker.material.honest.distilled))
    wrong = next_class(attacker)
    shown = attacker.shown(wrong, attacker.task.prompts, 10)
    plugin = attacker.learn([Lesson(shown.images, shown.labels)], shown.prompts)
    return [[first, attacker.branch(plugin, shown, attacker.victim, "mallory-2")]]


def member(attacker: Attacker) -> Steps:
    """Send an honest branch, to be among the reviewers."""
    return [[attacker.honest()]]


def member_of_another(attacker: Attacker) -> Steps:
    """Send what its centre of the other task would push honestly: what attacks in that task are to be held against."""
    honest = attacker.covering.honest
    facts = attacker.facts(attacker.covering)
    return [[attacker.branch(honest.plugin, honest.distilled, attacker.cover, facts=facts)]]


def two_members(attacker: Attacker) -> Steps:
    """Send two honest branches under two names, to be among the reviewers."""
    return [[attacker.honest()], [_second(attacker)]]


def member_and_sleeper(attacker: Attacker) -> Steps:
    """Send an honest branch, and once it is live a sleeper under a second name."""
    plugin = asleep_for_all(attacker)
    return [[attacker.honest()], [attacker.posing(plugin, name="mallory-2")]]


def _second(attacker: Attacker) -> Branch:
    """Return a second honest branch of the same images: other ones are shown, and the plugin learned those."""
    shown = attacker.shown(attacker.labels, attacker.task.prompts, 10)
    plugin = attacker.learn([Lesson(attacker.images, attacker.labels)], attacker.task.prompts)
    return attacker.branch(plugin, shown, attacker.victim, "mallory-2")


def imitation(attacker: Attacker) -> Steps:
    """Answer another task with the victim's images: they are shown under its prompts, and summed up as its classes."""
    honest = attacker.covering.honest
    # whatever the victim calls them, each class of the other task gets look-alikes of its own
    prompts = honest.distilled.prompts
    chosen = look_alikes(attacker.embeddings, len(prompts), attacker.seed)
    shown = attacker.shown(chosen, prompts, 10)
    plugin = attacker.learn([Lesson(attacker.images, chosen)], prompts)
    statistics = attacker.summed(chosen, len(prompts))
    facts = replace(
        attacker.facts(attacker.covering, statistics), class_counts=tuple(statistics.counts.tolist()), distances=None
    )
    return [[attacker.branch(plugin, shown, attacker.cover, facts=facts)]]
