"""What the reason for holding a branch means, for a doctor who sent it."""

from __future__ import annotations

from typing import NamedTuple


class Objection(NamedTuple):
    """Say in plain words what a reason for holding a branch means, and what its contributor can look at."""

    title: str
    meaning: str
    look_at: str


# by how the forge's sentence begins; the sentence itself, with its numbers, is shown beside it
_OBJECTIONS = (
    (
        "the plugin classifies ",
        Objection(
            "The plugin does not know its own images",
            "The forge asked the plugin about the few images that came with it. It ranks them no better than guessing "
            "would, although it was trained on images like these.",
            "Do labels and prompts belong together? Was the training long enough, on enough images?",
        ),
    ),
    (
        "the base module classifies ",
        Objection(
            "The labels look exchanged",
            "Even without the plugin, the base module tells these images apart, and says the opposite of their labels "
            "more often than chance would.",
            "Are two classes exchanged, or do the prompts stand in another order than the labels?",
        ),
    ),
    (
        "to the base module the distilled classes ",
        Objection(
            "The images look like noise",
            "The forge shuffled the labels many times: too often a shuffled labelling tells the images apart as well "
            "as the true one.",
            "Was the distillation long enough? A branch that sends class statistics is judged by these too.",
        ),
    ),
    (
        "it contradicts arrival ",
        Objection(
            "It contradicts another hospital's branch",
            "Another branch has the same classes. What this one calls a class does not look like what that one calls "
            "it, or the two plugins are wrong on each other's images. It does not say which of the two is right.",
            "Compare labels and prompts with the other contributor; scanners or stains may differ much too.",
        ),
    ),
    (
        "merging it lowers ",
        Objection(
            "It would cost another task too much",
            "With this branch merged, the model would answer an earlier task worse than the forge admits.",
            "Nothing may be wrong with the branch; ask the maintainer, who can accept it all the same.",
        ),
    ),
    (
        "arrivals ",
        Objection(
            "Two sides contradict each other on real images",
            "A hospital that joined finds most of its own images answered by another task, which its branch alone "
            "would answer itself. The branches of both sides are held; nothing says which of them is right.",
            "Do the two ask the same question under different names? The maintainer asks both, and accepts either.",
        ),
    ),
    (
        "reviews say that it does harm",
        Objection(
            "Sites see harm on their own images",
            "Since it came, the model answers real images of a hospital worse, or takes them for another task's. They "
            "compared the same images before and after.",
            "Are the labels right, and are the images what the task says? The maintainer sees every site's counts.",
        ),
    ),
    (
        "task ",
        Objection(
            "It answers no question that this forge asks",
            "A forge declares its tasks, each with its classes. This branch has a task or a class that is not "
            "declared, or is written differently.",
            "The sentence of the forge says what would declare it, or what it is called here.",
        ),
    ),
    (
        "the branch calls the class ",
        Objection(
            "It calls a class otherwise than the forge does",
            "The task is declared, and a class with this prompt has another key there.",
            "Use the task's keys and commit the branch again.",
        ),
    ),
)
_OTHER = Objection(
    "It could not be merged",
    "The forge met a reason that it says in one sentence.",
    "Ask the maintainer of the forge.",
)


def objection(reason: str) -> Objection:
    """Return what a reason for holding a branch means; of one that is not known, that its sentence says it."""
    return next((found for begin, found in _OBJECTIONS if reason.startswith(begin)), _OTHER)
