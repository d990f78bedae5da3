"""Everything that decides what a run computes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, Field, ValidationError

from medforge.digested import DigestedModel
from medforge.errors import CorruptFile
from medforge.simulation.arrivals import ScheduledPush
from medforge.simulation.centres import Centre
from medforge.simulation.crowd import Crowd, scored


class SimulationSettings(DigestedModel):
    """Fix a run: two runs with equal settings on one machine have the same head, unless their centres add noise.

    `arrivals` is what the user typed after `--arrivals` (None for a plain order); `schedule` is what follows from it.
    `epsilon` and `delta` ask every centre for differential privacy; None for none, and for the default. `crowd` says
    what the centres were made from, where they are many in the place of a few.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger: ClassVar[frozenset[str]] = frozenset({"sample", "epsilon", "delta", "review", "crowd"})

    format: int = 1
    centres: tuple[Centre, ...]
    schedule: tuple[ScheduledPush, ...]
    arrivals: str | None
    base: str
    method: str
    level: str
    coefficients: str
    objective: str = "cross-entropy"
    sample: int = 0
    weights: str = "equal"
    scaling: str = "given"
    parameters: dict[str, float] = Field(default_factory=dict)
    expert: str = "mean"
    recipe: str
    plugin: str = "lora"
    policy: tuple[str, ...] = ()
    changes: tuple[str, ...]
    seed: int
    device: str
    dtype: str
    epsilon: float | None = None
    delta: float | None = None
    review: bool = False
    crowd: Crowd | None = None

    @property
    def asked(self) -> tuple[Centre, ...]:
        """The centres as they were given: those that a crowd stands for, else all of them."""
        return self.centres if self.crowd is None else self.crowd.of

    @property
    def crowded(self) -> bool:
        """Say whether there are more centres than a run shows one by one."""
        return self.crowd is not None and self.crowd.large

    @property
    def scored(self) -> tuple[Centre, ...]:
        """The centres on whose test images the main branch is scored."""
        return scored(self.centres) if self.crowded else self.centres

    @property
    def order(self) -> tuple[str, ...]:
        """Name the centres in arrival order."""
        return tuple(arrival.name for arrival in self.schedule)

    def differences(self, other: SimulationSettings) -> list[str]:
        """Name the fields in which two settings differ."""
        return [name for name in type(self).model_fields if getattr(self, name) != getattr(other, name)]

    def command(self, out: Path) -> str:
        """Write the command that runs this again."""
        return shlex.join(self.words(out))

    def words(self, out: Path) -> list[str]:
        """Write that command word by word."""
        words = ["medforge", "simulate"]
        for centre in self.asked:
            words += ["--centre", centre.spell()]
        words += [] if self.crowd is None else ["--centres", str(self.crowd.count)]
        words += self._arrival_words()
        words += ["--merge", self.method]
        named = ("base", "level", "coefficients", "objective", "recipe", "plugin", "seed", "device", "dtype")
        for name in named:
            words += [f"--{name}", str(getattr(self, name))]
        words += self.parameter_words() + self.expert_words() + self.policy_words() + self.privacy_words()
        words += ["--review"] if self.review else []
        for change in self.changes:
            words += ["--recipe-set", change]
        return [*words, "--out", str(out)]

    def _arrival_words(self) -> list[str]:
        if self.arrivals:
            return ["--arrivals", self.arrivals]
        as_they_are = self.order == tuple(centre.name for centre in self.centres)
        return [] if self.crowd is not None and as_they_are else ["--order", ",".join(self.order)]

    def parameter_words(self) -> list[str]:
        """Write the merge method's sample, weights, scaling and parameters as the command line takes them."""
        words = [word for name, value in self.parameters.items() for word in ("--parameter", f"{name}={value!r}")]
        words += ["--sample", str(self.sample)] if self.sample else []
        # a method that searches has neither
        words += ["--weights", self.weights] if self.weights != "equal" else []
        return words + (["--scaling", self.scaling] if self.scaling != "given" else [])

    def expert_words(self) -> list[str]:
        """Write the rule that merges inside a task as the command line takes it; nothing for the default."""
        return [] if self.expert == type(self).model_fields["expert"].default else ["--expert", self.expert]

    def policy_words(self) -> list[str]:
        """Write the changes of the forge's policy as the command line takes them."""
        return [word for change in self.policy for word in ("--policy", change)]

    def privacy_words(self) -> list[str]:
        """Write what is asked of differential privacy as the command line takes it; nothing for none."""
        asked = (("--epsilon", self.epsilon), ("--delta", self.delta))
        return [word for name, value in asked if value is not None for word in (name, repr(value))]

    @classmethod
    def parse(cls, data: bytes, path: Path) -> SimulationSettings:
        """Read settings back. Raises CorruptFile when they are none."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise CorruptFile(
                f"{path} does not hold a simulation's settings; remove its directory or choose another --out"
            ) from error
