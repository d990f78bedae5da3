"""Class statistics beside the prompts' text features, as TOFA (Zhang et al., AAAI 2026) weighs them.

TOFA's prototypes are personal to a site (a posterior under the global ones) and its texts are written by a language
model, then aligned over sites; its weights are set image by image. None of that is one model for everybody, so here the
prototypes are the pooled classes', the text is each class's one prompt, and one weight is chosen on validation.
"""

from __future__ import annotations

from medforge.simulation.benchmark.heads.gaussian import Head


def with_text(visual: Head, text: Head, weight: float) -> Head:
    """Weigh the class log-probabilities of two heads: ``weight`` in [0, 1] for the text, the rest for the visual one.

    The text's head returns the zero-shot logits of the same classes.
    """
    return lambda rows: (1 - weight) * visual(rows).log_softmax(dim=1) + weight * text(rows).double().log_softmax(dim=1)
