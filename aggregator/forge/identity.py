"""Which forge it is that somebody reads."""

from __future__ import annotations

from dataclasses import dataclass

from medforge.base_facts import BaseFacts
from medforge.declared_task import DeclaredTask


@dataclass(frozen=True)
class ForgeIdentity:
    """Name a forge, its base module and the tasks that it has declared."""

    forge: str
    base: BaseFacts
    tasks: tuple[DeclaredTask, ...]
