"""The heads that the experiments compare, by name, and what each of them leaves to be chosen on validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from medforge.simulation.benchmark.heads.fisher_mix import fisher_mix
from medforge.simulation.benchmark.heads.gaussian import Head, fedcgs, lda, naive_bayes, nearest_mean, qda
from medforge.simulation.benchmark.heads.moments import Gaussians
from medforge.simulation.benchmark.heads.with_text import with_text

Option = tuple[float, ...]
"""What is chosen on validation: a shrinkage, and a text's weight; nothing of a head without either."""

SHRINKAGES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9)
WEIGHTS = (0.0, 0.2, 0.4, 0.6, 0.8)
PUBLISHED_SHRINKAGE = 0.05


@dataclass(frozen=True)
class HeadMaker:
    """Name a head and make it of ``(classes, option, text, seed)``; ``text`` returns the prompts' zero-shot logits."""

    key: str
    label: str
    options: tuple[Option, ...]
    make: Callable[[Gaussians, Option, Head, int], Head]


_SHRUNK: tuple[Option, ...] = tuple((value,) for value in SHRINKAGES)

LDA = HeadMaker("lda", "LDA", _SHRUNK, lambda classes, option, text, seed: lda(classes, *option))
HEADS = (
    LDA,
    HeadMaker("nearest-mean", "nearest mean", ((),), lambda classes, option, text, seed: nearest_mean(classes)),
    HeadMaker("naive-bayes", "Gaussian naive Bayes", _SHRUNK, lambda c, option, text, seed: naive_bayes(c, *option)),
    HeadMaker("qda", "QDA", _SHRUNK, lambda classes, option, text, seed: qda(classes, *option)),
    HeadMaker("fedcgs", "FedCGS", _SHRUNK, lambda classes, option, text, seed: fedcgs(classes, *option)),
    HeadMaker(
        "fisher-mix", "FisherMix (GH-OFL)", ((PUBLISHED_SHRINKAGE,),),
        lambda classes, option, text, seed: fisher_mix(classes, option[0], seed),
    ),
    HeadMaker(
        "tofa", "TOFA, not personal: LDA and text", tuple(product(SHRINKAGES[::2], WEIGHTS)),
        lambda classes, option, text, seed: with_text(lda(classes, option[0]), text, option[1]),
    ),
)  # fmt: skip


def head_named(key: str) -> HeadMaker:
    """Return a head by its key."""
    return next(head for head in HEADS if head.key == key)
