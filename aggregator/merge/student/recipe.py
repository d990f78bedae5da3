"""How a student is trained, under a name."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

# mixtures of one branch that go through the network together, on one thread
PLATE = 16


@dataclass(frozen=True)
class StudentRecipe:
    """Fix a student's training.

    ``rank`` of its plugin, ``mixtures`` of images drawn for each branch, ``plates`` of 16 of them a step, ``steps`` of
    Adam in all, whose rate rises to ``rate`` within the first tenth and falls to 0 along a cosine; ``features`` weighs
    the distance of embeddings beside that of class probabilities.
    """

    name: str
    rank: int = 32
    mixtures: int = 512
    plates: int = 2
    steps: int = 300
    rate: float = 3e-3
    features: float = 10.0
    clip: float = 1.0
    warmup: float = 0.1

    def rate_at(self, step: int) -> float:
        """Return the rate of step 0 … steps−1."""
        rising = max(1, round(self.warmup * self.steps))
        if step < rising:
            return self.rate * (step + 1) / rising
        return self.rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, self.steps - rising)))

    def changed(self, parameters: Mapping[str, float]) -> "StudentRecipe":
        """Return the recipe with a merge method's parameters in place of its own numbers."""
        return replace(
            self,
            steps=int(parameters["steps"]),
            rank=int(parameters["rank"]),
            mixtures=int(parameters["mixtures"]),
            rate=parameters["rate"],
            features=parameters["features"],
        )


STUDENT = StudentRecipe(name="student")
