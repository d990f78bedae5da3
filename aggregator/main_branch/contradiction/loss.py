"""What a merge costs a task that was there before it."""

from typing import NamedTuple

from medforge.aggregator.main_branch.contradiction.hearing import REMEDY


class Loss(NamedTuple):
    """Say what a merge costs a task: its accuracy on distilled images before and after, and what it may cost."""

    task: str
    before: float
    after: float
    margin: float

    def __str__(self) -> str:
        """Say it in words that follow on from what is merged."""
        return (
            f"lowers the accuracy on the distilled images of task {self.task!r} from {self.before:.3f} to "
            f"{self.after:.3f}, more than the margin of {self.margin:g}"
        )

    @property
    def reason(self) -> str:
        """Why the arriving branch is held, where the loss is charged to it alone."""
        return f"merging it {self}; {REMEDY}"
