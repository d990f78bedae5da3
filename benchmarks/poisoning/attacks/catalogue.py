"""All attacks, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.poisoning.attack import Attack, Before, Steps
from benchmarks.poisoning.attacker import Attacker
from benchmarks.poisoning.attacks import company, sleepers, spoiling, wording
from benchmarks.poisoning.attacks.plain import PLAIN, Sent
from benchmarks.poisoning.material import Material

HONEST = next(iter(PLAIN))
_VICTIM: Before = "the victim's task"
_SITE: Before = "one site"


@dataclass(frozen=True)
class OfTheTask:
    """Attack the victim's task by what a centre has of it, with honest facts beside."""

    send: Callable[[Material], Sent]

    def __call__(self, attacker: Attacker) -> Steps:
        """Return the one branch; nothing where the material makes none."""
        sent = self.send(attacker.material)
        return [[attacker.posing(*sent)]] if sent else []


ATTACKS: tuple[Attack, ...] = (
    *(Attack(name, OfTheTask(make)) for name, make in PLAIN.items()),
    Attack("honest, in the other task", company.member_of_another),
    Attack("flood", wording.flood),
    Attack("flood, its task declared", wording.flood, declared=True),
    Attack("flood by another task's prompts", company.imitation),
    Attack("salami, ten tasks", wording.salami),
    Attack("salami, ten tasks declared", wording.salami, declared=True),
    Attack("salami in the victim's task", wording.salami_at_home),
    Attack("other spelling: capitals", wording.capitals),
    Attack("other spelling: unseen characters", wording.unseen_characters),
    Attack("other words", wording.other_words),
    Attack("other words, their task declared", wording.other_words, declared=True),
    Attack("sleeper", sleepers.sleeper),
    Attack("sleeper, strong enough for a mean", sleepers.strong_sleeper),
    Attack("three sleepers", sleepers.three_sleepers),
    Attack("sleeper for one class", sleepers.one_class),
    Attack("sleeper for one look", sleepers.one_look),
    Attack("sleeper in the place of a live branch", sleepers.replaced),
    Attack("slow drift of a live branch", sleepers.drift),
    Attack("sleeper, a billion images claimed", sleepers.many_claimed),
    Attack("sleeper, statistics claim a billion", spoiling.many_counted),
    Attack("statistics: the victim's means", spoiling.foreign_means),
    Attack("statistics: a blinding covariance", spoiling.blinding_covariance),
    Attack("statistics: a tiny covariance", spoiling.tiny_covariance),
    Attack("copy of the victim's branch", company.copy),
    Attack("squat: flood first", wording.flood, before=_VICTIM),
    Attack("squat: flood first, declared", wording.flood, declared=True, before=_VICTIM),
    Attack("squat: labels exchanged first", company.exchanged_and_posing, before=_VICTIM),
    Attack("squat: two who agree and praise", company.two_who_agree, before=_VICTIM, says="praise"),
    Attack("sleeper that a member praises", company.member_and_sleeper, says="praise"),
    Attack("a member claims harm by a rival", company.member, before=_SITE, says="harm"),
    Attack("two members claim harm by a rival", company.two_members, before=_SITE, says="harm"),
)
