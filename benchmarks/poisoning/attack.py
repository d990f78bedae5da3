"""What an attack is: branches in steps, when they come, and what the attacker says in reviews."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.poisoning.attacker import Attacker
from medforge.branch import Branch

Before = Literal["nobody", "the victim's task", "one site"]
Says = Literal["nothing", "praise", "harm"]
Steps = Sequence[Sequence[Branch]]
"""Branches that come together, one group after another; the forge settles, and sites review, between two groups."""


@dataclass(frozen=True)
class Attack:
    """Say what an attacker sends, under which conditions.

    ``declared``: the maintainer was talked into declaring the tasks that it names. ``before``: whose honest branches
    come only after the attacker's, so that it is the one who is first. ``says``: what the attacker says of commits once
    it is among the reviewers: nothing, that all is well, or that every image was lost.
    """

    name: str
    make: Callable[[Attacker], Steps]
    declared: bool = False
    before: Before = "nobody"
    says: Says = "nothing"

    @property
    def sends(self) -> str:
        """Name what is sent: two attacks that send the same have one name for it."""
        return str(getattr(self.make, "__qualname__", self.name))
