"""What a soak with reviews did."""

from dataclasses import asdict, dataclass


@dataclass
class Summary:
    """What a soak did that passed every check.

    `stable_loss` has by honest site the most that a commit that went live loses of its unseen images against the best
    before it, as a share; `head_loss` the same of every commit, reviewed or not.
    """

    seed: int
    faults: int
    by_kind: dict[str, int]
    server_starts: int
    arrivals: int
    commits: int
    reviews: int
    live: int
    found_harmful: dict[str, int]
    misbehaved: dict[str, int]
    stable_loss: dict[str, float]
    head_loss: dict[str, float]
    seconds: float = 0.0

    def plain(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return asdict(self)
