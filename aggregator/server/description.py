"""What a forge says of itself, put together anew only when something else than a branch has come."""

from __future__ import annotations

from sqlalchemy import bindparam, func, select

from medforge import __version__
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Policy
from medforge.aggregator.forge.tagging import checked
from medforge.aggregator.ledger.journal import ARRIVED
from medforge.aggregator.ledger.rows import ArrivalRow, EntryRow
from medforge.aggregator.ledger.tag_table import TagTable
from medforge.aggregator.ledger.task_table import TaskTable
from medforge.aggregator.main_branch.reviewing.board import BoardView
from medforge.aggregator.server.credentials import AuthorityLinks
from medforge.aggregator.server.peer_clocks import PeerClocks
from medforge.aggregator.server.review_desk import ReviewDesk
from medforge.files import canonical_json
from medforge.manifest import public_spec
from medforge.proto import forge_pb2 as pb
from medforge.proto.certificates import now, spell_time
from medforge.proto.codec import tag_to_message, task_to_message
from medforge.proto.epoch import epoch_to_message
from medforge.proto.forge_authorities import authorities_to_message
from medforge.proto.forge_keys import chain_to_message
from medforge.proto.signed_tag import SignedTag
from medforge.proto.signing import public_bytes

# built once: building one takes as long as asking it
_NEWEST = select(func.max(EntryRow.number))
_SINCE = (
    select(EntryRow.what, func.max(EntryRow.number)).where(EntryRow.number > bindparam("seen")).group_by(EntryRow.what)
)
_ARRIVALS = select(func.count()).select_from(ArrivalRow)


class Description:
    """Answer Describe.

    Whatever changes in the ledger is in its journal, by the same transaction. So of what was said before only the
    number of arrivals is asked for, unless the journal has more than arrivals since. Where sites review, time alone can
    change what is stable, and nothing is kept. Safe for any number of threads.
    """

    def __init__(self, forge: Forge, reviews: ReviewDesk, clocks: PeerClocks) -> None:
        self._forge = forge
        self._reviews = reviews
        self._clocks = clocks
        self._tasks = TaskTable(forge.ledger)
        self._tags = TagTable(forge.ledger)
        self._authorities = AuthorityLinks(forge)
        # the journal's length when it was put together, at most, what was said, and under which policy
        self._said: tuple[int, pb.DescribeReply, Policy] | None = None

    def reply(self) -> pb.DescribeReply:
        """Say what this forge is and what it admits, as of now."""
        reply = self._still_true() or self._anew()
        reply.time = spell_time(now())
        reply.clock_ahead = round(self._clocks.ahead() or 0.0)
        reply.authorities.extend(authorities_to_message(self._authorities.read()))
        return reply

    def _still_true(self) -> pb.DescribeReply | None:
        """Return what was said before with the arrivals that there are now; None where more has changed."""
        if self._said is None:
            return None
        seen, said, policy = self._said
        if policy is not self._forge.policy:
            return None
        with self._forge.ledger.reading() as session:
            since = {what: int(newest) for what, newest in session.execute(_SINCE, {"seen": seen})}
            if since.keys() - {ARRIVED}:
                return None
            arrivals = session.scalar(_ARRIVALS) if since else None
        reply = pb.DescribeReply()
        reply.CopyFrom(said)
        if arrivals is not None:
            reply.arrivals = arrivals
            kept = pb.DescribeReply()
            kept.CopyFrom(reply)
            self._said = since[ARRIVED], kept, policy
        return reply

    def _anew(self) -> pb.DescribeReply:
        with self._forge.ledger.reading() as session:
            # before all else: what comes meanwhile is looked for again
            seen = session.scalar(_NEWEST) or 0
        reviews, policy = self._reviews.view(), self._forge.policy
        reply = self._put_together(reviews)
        kept = pb.DescribeReply()
        kept.CopyFrom(reply)
        self._said = None if reviews.reviewed else (seen, kept, policy)
        return reply

    def _put_together(self, reviews: BoardView) -> pb.DescribeReply:
        settings, limits = self._forge.settings, self._forge.policy.limits
        head = self._forge.ledger.head()
        arrivals, commits = self._forge.ledger.counts()
        declared = self._tasks.declarations().values()
        return pb.DescribeReply(
            forge=settings.forge,
            base_spec=public_spec(settings.base_spec),
            base=settings.base,
            method=canonical_json(settings.method.model_dump(mode="json")),
            head=head.digest if head else "",
            arrivals=arrivals,
            commits=commits,
            limits=pb.Limits(
                chunk_bytes=limits.chunk,
                manifest_bytes=limits.manifest,
                branch_bytes=limits.branch,
                contributor_bytes=limits.contributor,
                tensors=limits.tensors,
                rank=limits.rank,
                images_per_class=limits.images_per_class,
                classes=limits.classes,
                prompt_length=limits.prompt_length,
            ),
            software=__version__,
            key=public_bytes(self._forge.key),
            tasks=[task_to_message(self._forge.signed(one.task)) for one in declared],
            open_tasks=self._forge.policy.tasks.open,
            base_facts=canonical_json(settings.facts.model_dump(mode="json")),
            tags=[tag_to_message(self._signed_now(tag)) for tag in self._tags.tags()],
            keys=chain_to_message(self._forge.keys),
            withdrawals_have_nonces=True,
            stable=reviews.stable or "",
            candidate=reviews.candidate or "",
            reviewed=reviews.reviewed,
            privacy=self._forge.policy.privacy.to_bytes(),
            epochs=[epoch_to_message(epoch) for epoch in self._forge.epochs],
            uploads_together=True,
        )

    def _signed_now(self, tag: SignedTag) -> SignedTag:
        return checked(self._forge, tag) if self._forge.keys else tag
