"""Attacks by class statistics: an honest plugin and honest images, with statistics that draw others' images."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.poisoning.attack import Steps
from benchmarks.poisoning.attacker import Attacker
from benchmarks.poisoning.attacks.sleepers import asleep_for_all
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics

# of what a forge admits: the trace of the covariance is bounded by the images' embeddings
_SPREAD = 3.0
_CLAIMED = 10**9


def foreign_means(attacker: Attacker) -> Steps:
    """Answer another task rightly, with class means that lie where the victim's images are."""
    own = attacker.statistics(attacker.covering)
    theirs = attacker.summed(attacker.labels, attacker.classes)
    rows = torch.arange(own.classes) % theirs.classes
    return [[_covering(attacker, replace(own, sums=_sums(theirs.means[rows], own.counts)))]]


def blinding_covariance(attacker: Attacker) -> Steps:
    """Answer another task rightly, with a covariance so wide between both tasks that no router tells them apart."""
    own = attacker.statistics(attacker.covering)
    theirs = attacker.summed(attacker.labels, attacker.classes)
    between = own.means.mean(dim=0) - theirs.means.mean(dim=0)
    direction = between / between.norm()
    width = _SPREAD * float(attacker.embeddings.norm(dim=1).max())
    wide = own.covariance.double() + width**2 * torch.outer(direction, direction)
    return [[_covering(attacker, replace(own, covariance=((wide + wide.T) / 2).float()))]]


def tiny_covariance(attacker: Attacker) -> Steps:
    """Answer another task rightly, with a covariance of next to nothing, so that the metric is another one."""
    own = attacker.statistics(attacker.covering)
    return [[_covering(attacker, replace(own, covariance=1e-6 * torch.eye(len(own.covariance))))]]


def many_counted(attacker: Attacker) -> Steps:
    """Send a sleeper whose class statistics, of labels exchanged, claim a billion images of each class."""
    honest = attacker.statistics(attacker.material)
    wrong = honest.means.roll(1, dims=0)
    counts = torch.full_like(honest.counts, _CLAIMED)
    statistics = ClassStatistics(_sums(wrong, counts), counts, honest.covariance)
    facts = replace(attacker.facts(attacker.material, statistics), class_counts=tuple(counts.tolist()))
    plugin = asleep_for_all(attacker)
    return [[attacker.branch(plugin, attacker.material.honest.distilled, attacker.victim, facts=facts)]]


def _sums(means: Tensor, counts: Tensor) -> Tensor:
    return (means * counts.unsqueeze(1)).float()


def _covering(attacker: Attacker, statistics: ClassStatistics) -> Branch:
    honest = attacker.covering.honest
    facts = attacker.facts(attacker.covering, statistics)
    return attacker.branch(honest.plugin, honest.distilled, attacker.cover, facts=facts)
