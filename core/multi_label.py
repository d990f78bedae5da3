"""Multi-label outputs: each finding is told by a pair of prompts, "with it" and "without it".

A model is given all prompts of a multi-label task at once, the L that say "with" and then the L that say "without".
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from medforge.mixing import mix


def pairs(logits: Tensor) -> Tensor:
    """Put the logits [..., 2L] of "with" and "without" side by side: [..., L, 2]."""
    return logits.reshape(*logits.shape[:-1], 2, -1).transpose(-1, -2)


def log_odds(logits: Tensor) -> Tensor:
    """Return one logit per finding [..., L] from similarity logits [..., 2L].

    It is logit("with") − logit("without"), so its sigmoid is the softmax over the pair.
    """
    present, absent = pairs(logits).unbind(-1)
    return present - absent


def mix_pairs(outputs: Tensor, coefficients: Tensor) -> Tensor:
    """Mix the similarity logits [K, n, 2L] of K plugins pair by pair; return log-probabilities [n, 2L] in their order.

    The probabilities of each pair are mixed as `medforge.mixing.mix` mixes those of classes; a softmax over all 2L
    prompts would weigh a plugin by what it makes of the other findings.
    """
    two = pairs(outputs).softmax(dim=-1)
    mixed = mix(two.flatten(1, 2), coefficients).reshape(two.shape[1:])
    return mixed.transpose(-1, -2).flatten(-2)


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss of similarity logits against labels.

    Labels int64 [n] take logits [n, C] and the cross-entropy; labels int64 [n, L] of 0 and 1 take logits [n, 2L] and
    the binary cross-entropy of `log_odds`, which is the cross-entropy over each pair.
    """
    labels = labels.to(logits.device)
    if labels.ndim == 1:
        return F.cross_entropy(logits, labels)
    odds = log_odds(logits)
    return F.binary_cross_entropy_with_logits(odds, labels.to(odds.dtype))
