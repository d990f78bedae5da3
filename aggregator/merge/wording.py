"""A merge method's settings in words, also of a method that is not installed here."""

from __future__ import annotations

from medforge.aggregator.merge.settings import MEAN, SITES, MethodSettings

_LEVELS = {"output": "the branches' answers are mixed", "layer": "the branches' weights become one network"}
_COEFFICIENTS = {
    "gated": "an image goes to the branch whose images it resembles",
    "joint": "coefficients of all branches are searched at every arrival",
    "sequential": "coefficients are searched for each arrival in turn",
    "uniform": "every branch counts the same",
}
_EXPERTS = {
    MEAN: "the mean of its branches, weighted by images",
    SITES: "each site's own plugin, and their mean for images like no site's",
}


def in_words(settings: MethodSettings) -> str:
    """Return how branches are merged, in one line: the method's name, what it comes to, and its own numbers."""
    if settings.method == "routed":
        expert = _EXPERTS.get(settings.expert, f"its branches merged by {settings.expert}")
        parts = [f"a router chooses the task, and the task's expert the class; an expert is {expert}"]
    else:
        by_images = settings.weights == "images"
        counts = "a branch counts as often as it has training images" if by_images else None
        parts = [_LEVELS[settings.level], counts or _COEFFICIENTS[settings.coefficients]]
    if settings.scaling == "distilled":
        parts.append("the weight change is scaled on distilled images")
    parts += [f"{name}={value:g}" for name, value in sorted(settings.parameters.items())]
    return f"{settings.method}: {'; '.join(parts)}"
