"""Accuracy and attacks against ε, as text."""

from __future__ import annotations

from collections.abc import Callable

from medforge.simulation.benchmark.presentation.numbers_in_words import measured
from medforge.simulation.benchmark.presentation.sheets import Column, Section, Sheet
from medforge.simulation.benchmark.results.privacy import PARTS, Part, PrivacyResult, Released, Under

CALLED: dict[Part, str] = {"plugin": "plugin", "distilled": "distilled\nimages", "statistics": "class\nstatistics"}


def spell_epsilon(epsilon: float | None) -> str:
    """Write an ε; ∞ where there is no noise."""
    return "∞" if epsilon is None else f"{epsilon:g}"


def accuracy_sheet(result: PrivacyResult) -> Sheet:
    """Write accuracy against ε."""
    columns = (
        Column("ε", "the total that a site keeps over all it sends; ∞ without noise"),
        Column("plugin", "accuracy on test images"),
        Column("LDA, sent\nstatistics", "a discriminant on the frozen base, of the statistics that are sent"),
        Column("LDA,\ndistilled", "the same of the distilled images"),
        Column("LDA,\nexact", "the same of all training images, without privacy: the closed form"),
    )

    def line(point: Under) -> tuple[str, ...]:
        values: tuple[Callable[[Released], float | None], ...] = (
            lambda one: one.plugin, lambda one: one.statistics, lambda one: one.distilled, lambda one: one.exact,
        )  # fmt: skip
        return (spell_epsilon(point.epsilon), *(measured(point.mean(value)) for value in values))

    sections = tuple(Section(task, tuple(map(line, result.of(task)))) for task in result.tasks)
    return Sheet("Accuracy against ε", columns, sections)


def attack_sheet(result: PrivacyResult) -> Sheet:
    """Write what attacks achieve against ε."""
    by_part = [
        column
        for part in PARTS
        for column in (
            Column(f"{CALLED[part]}\nbest other", "AUC of the best of the audit's attacks without shadows"),
            Column(f"{CALLED[part]}\nLiRA", "AUC of the likelihood-ratio attack by shadow models"),
        )
    ]
    columns = (
        Column("ε"),
        Column("plugin\nloss", "AUC of the attack by the loss alone"),
        *by_part,
        Column("named at\n1 %", "members that LiRA on the plugin names at 1 % false alarms"),
    )

    def line(point: Under) -> tuple[str, ...]:
        pairs = (
            point.mean(lambda one, part=part, by=by: one.auc(part, by))  # type: ignore[misc]
            for part in PARTS
            for by in (False, True)
        )
        loss, named = point.mean(lambda one: one.loss()), point.mean(lambda one: one.tpr("plugin"))
        return (spell_epsilon(point.epsilon), measured(loss), *map(measured, pairs), measured(named))

    sections = tuple(Section(task, tuple(map(line, result.of(task)))) for task in result.tasks)
    return Sheet("Membership AUC against ε", columns, sections)
