"""The embedded model's tokenizer: open_clip's byte-pair codes folded into a small vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor


@lru_cache(maxsize=1)
def _byte_pairs() -> SimpleTokenizer:
    return SimpleTokenizer()


class FoldedTokenizer:
    """Turn text into token codes of a vocabulary of `vocabulary` entries.

    A byte-pair code c becomes c mod (vocabulary − 2); the two highest codes mark the start and the end of the text, so
    that open_clip's pooling at the highest code (CLIP, arXiv:2103.00020, section 2.4) still finds the end mark. Longer
    texts are cut; unused places hold 0, which the causal text tower never lets the end mark see.
    """

    def __init__(self, vocabulary: int, context_length: int) -> None:
        self.fold = vocabulary - 2
        self.start = vocabulary - 2
        self.end = vocabulary - 1
        self.context_length = context_length

    def encode(self, text: str) -> list[int]:
        """Return the folded codes of one text, without marks."""
        return [code % self.fold for code in _byte_pairs().encode(text)]

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Tokenize texts: int64 [n, context_length], one row per text."""
        rows = torch.zeros(len(texts), self.context_length, dtype=torch.long)
        for row, text in enumerate(texts):
            codes = [self.start, *self.encode(text)[: self.context_length - 2], self.end]
            rows[row, : len(codes)] = torch.tensor(codes)
        return rows
