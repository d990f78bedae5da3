"""Where a forge takes reviews, and tells them with what was decided by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.review_records import KeptDecision, KeptReview
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.aggregator.main_branch.reviewing.board import BoardView, ReviewBoard
from medforge.aggregator.server.authorisation import authorise_review, caller_of
from medforge.aggregator.server.call_record import note
from medforge.errors import InvalidInput
from medforge.faults import reached
from medforge.files import canonical_json
from medforge.proto import forge_pb2 as pb
from medforge.proto.signed_review import Review, SignedReview

_AGAIN = "review what the forge asks for now: run `medforge review` again"
_STANDINGS = {"live": pb.STANDING_LIVE, "harmful": pb.STANDING_HARMFUL}


class ReviewDesk:
    """Take reviews for one forge, and say how its commits stand by them."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self._table = ReviewTable(forge.ledger)
        self._board = ReviewBoard(forge.ledger, forge.policy.review)

    def view(self) -> BoardView:
        """Say how reviews stand now."""
        return self._board.view()

    def take(self, request: pb.ReviewRequest, context: grpc.ServicerContext) -> pb.ReviewReply:
        """Keep a review; raises NotAllowed, OverLimit, NotFound or InvalidInput for one that is not taken."""
        forge = self._forge
        caller = caller_of(context, forge.ledger)
        review = Review.parse(request.review)
        note(contributor=review.reviewer, commit=review.commit)
        if review.forge != forge.settings.forge:
            raise InvalidInput(
                f"the review is for forge {review.forge}, and this is {forge.settings.forge}; use the kit of this forge"
            )
        key = authorise_review(caller, review, request.signature, forge.ledger, forge.settings.forge)
        self._check_asked(review)
        reached("before review")
        self._table.add(SignedReview(review=review, key=key.hex(), signature=request.signature.hex() if key else ""))
        reached("after review")
        view = self.view()
        return pb.ReviewReply(stable=view.stable or "", candidate=view.candidate or "")

    def entries(self, after: int) -> Iterator[pb.ReviewEntry]:
        """Yield the reviews and decisions of the journal's entries after a number, oldest first."""
        table = self._table.read()
        known: list[KeptReview | KeptDecision] = [*table.reviews, *table.decisions]
        for one in sorted(known, key=lambda one: one.number):
            if one.number > after:
                yield _message(one)

    def place(self) -> int:
        """Return the place of the stable commit, 0 where nobody reviews or there is none."""
        table = self._table.read()
        return table.place(table.stable_or_head()) if table.reviews else 0

    def standings(self) -> Callable[[int, str], pb.Standing]:
        """Return what says of a commit, by its place and digest, how it stands by reviews."""
        table = self._table.read()
        if not table.reviews:
            return lambda number, digest: pb.STANDING_UNSPECIFIED
        place = table.place(table.stable_or_head())
        harmful = {one.decision.commit for one in table.decisions if one.decision.standing == "harmful"}

        def standing(number: int, digest: str) -> pb.Standing:
            if digest in harmful:
                return pb.STANDING_HARMFUL
            return pb.STANDING_LIVE if number <= place else pb.STANDING_WAITING

        return standing

    def _check_asked(self, review: Review) -> None:
        """Raise InvalidInput for a commit that is no longer in question, or a baseline that never went live."""
        table = self._table.read()
        at, place = table.committed.get(review.commit), table.place(table.stable_or_head())
        if at is None or at.number < place:
            raise InvalidInput(f"commit {review.commit[:12]} is not in question any more; {_AGAIN}")
        live = {one.decision.commit for one in table.decisions if one.decision.standing == "live"}
        for name, one in review.tasks.items():
            if one.baseline is not None and one.baseline not in live:
                raise InvalidInput(
                    f"the review compares task {name!r} with commit {one.baseline[:12]}, which never went live; "
                    f"{_AGAIN}"
                )


def _message(one: KeptReview | KeptDecision) -> pb.ReviewEntry:
    entry = pb.ReviewEntry(number=one.number, at=one.at)
    if isinstance(one, KeptReview):
        signed = one.signed
        record = pb.ReviewRecord(
            review=signed.review.to_bytes(),
            key=bytes.fromhex(signed.key),
            signature=bytes.fromhex(signed.signature),
        )
        entry.review.CopyFrom(record)
        return entry
    decision = one.decision
    entry.decision.CopyFrom(
        pb.Decision(
            commit=decision.commit,
            standing=_STANDINGS[decision.standing],
            reason=decision.reason,
            evidence=canonical_json([objection.model_dump(mode="json") for objection in decision.objections]),
            arrival=decision.arrival or 0,
        )
    )
    return entry
