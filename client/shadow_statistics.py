"""What a site would send of the half of its images that a shadow has: class statistics, by its own rules."""

from __future__ import annotations

from collections.abc import Callable

from medforge.class_statistics import ClassStatistics
from medforge.client.audit.policy import SitePolicy
from medforge.client.audit.shadows.training import ShadowTraining
from medforge.client.embeddings import Embeddings
from medforge.client.facts import private_facts
from medforge.client.release import release


def statistics_of_halves(policy: SitePolicy) -> Callable[[ShadowTraining, int], ClassStatistics | None]:
    """Return what releases a shadow's statistics by a policy, with noise where the site keeps an ε."""

    def released(training: ShadowTraining, number: int) -> ClassStatistics | None:
        task, private = training.divided(number), training.private(number)
        if private is not None:
            return private_facts(private, task, policy, statistics=True).statistics
        own, others = training.positions(number)
        rows = training.gallery.embeddings
        return release(Embeddings(rows[own], rows[others]), task, policy).statistics

    return released
