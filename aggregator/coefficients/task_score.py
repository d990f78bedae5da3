"""What a merged model scores on one task."""

from pydantic import BaseModel, ConfigDict


class TaskScore(BaseModel):
    """Hold what the forge item scores on one task's distilled dataset: cross-entropy (nats) and accuracy in [0, 1].

    A candidate of a search may have a loss that is not finite; a commit may not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loss: float
    acc: float
