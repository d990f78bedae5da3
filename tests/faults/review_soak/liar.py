"""A reviewer who says of every commit that it ruins both questions, and says so in another's name too."""

import time

from medforge.client.review.question import ask
from medforge.errors import ForgeUnavailable, InvalidInput
from medforge.proto.errors import NotAllowed
from medforge.proto.signed_review import Review, TaskReview
from tests.faults.review_soak.reviewers import check_moved_on
from tests.faults.review_soak.stage import LIAR, Stage


def lie(stage: Stage) -> None:
    """Review falsely until the soak is over."""
    draw = stage.crew.random("lie")
    while not stage.crew.over:
        time.sleep(draw.uniform(0.2, 1.5))
        try:
            _lie_once(stage)
        except ForgeUnavailable:
            continue
        except InvalidInput as error:
            check_moved_on(error)


def _lie_once(stage: Stage) -> None:
    with stage.remote(LIAR) as remote:
        question = ask(remote, LIAR)
        commit = question.asked
        if commit is None or commit.digest in question.own:
            return
        stable = question.stable.digest if question.stable.digest in question.live else None
        counts = TaskReview(baseline=stable, images=400, right=20, lost=300 if stable else 0)
        review = Review(
            forge=question.forge, reviewer=LIAR, commit=commit.digest,
            tasks={"stains": counts, "shades": counts}, threshold=10, software="0",
        )  # fmt: skip
        remote.review(review.to_bytes(), _signature(stage, review))
        stage.tally.add("false reviews")
        other = review.model_copy(update={"reviewer": "north"})
        try:
            remote.review(other.to_bytes(), _signature(stage, other))
        except NotAllowed:
            stage.tally.add("reviews in another's name refused")
        else:
            raise AssertionError("a review in another's name was taken")
    with stage.said.lock:
        stage.said.reviews.append(review.digest)


def _signature(stage: Stage, review: Review) -> bytes:
    return bytes.fromhex(stage.kits[LIAR].sign_review(review).signature)
