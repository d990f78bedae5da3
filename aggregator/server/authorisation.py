"""Who calls a forge, and what they may say in whose name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import grpc

from medforge.aggregator.ledger.invitations import earlier_kit
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import Contributor
from medforge.manifest import Manifest
from medforge.proto import forge_pb2 as pb
from medforge.proto.certificates import common_name, digest_of, now, parse_certificate, read_time, spell_time
from medforge.proto.errors import NotAllowed, NotKnown
from medforge.proto.signed_review import Review
from medforge.proto.signing import REVIEW, SUBMIT, WITHDRAW, Statement, verify
from medforge.proto.statements import review_statement, submit_statement, withdraw_statement

_SIGNED_WITHIN = timedelta(days=1)
_SHORTEST_NONCE, _LONGEST_NONCE = 16, 64
_ASK = "ask whoever runs the forge for a new kit"


@dataclass(frozen=True)
class Caller:
    """Name the contributor whose certificate a call came under; None for a call over plaintext."""

    name: str | None

    @property
    def label(self) -> str:
        """A name for logs and metrics."""
        return self.name or "plaintext"


def caller_of(context: grpc.ServicerContext, ledger: Ledger) -> Caller:
    """Return who makes a call; raises NotAllowed for a certificate that this forge does not accept, or no longer.

    TLS has checked that the forge's own authority issued the certificate, that it has not expired, and that the caller
    holds its key. The ledger says whether it has been revoked or replaced.
    """
    authenticated = context.auth_context()
    presented = authenticated.get("x509_pem_cert")
    if presented is None:
        if b"ssl" in authenticated.get("transport_security_type", ()):
            raise NotKnown("the call came without a certificate; use the kit that `medforge invite` made")
        return Caller(None)
    certificate = parse_certificate(presented[0], "what the caller presented")
    name = common_name(certificate)
    invited = ledger.contributor(name)
    if invited is None:
        raise NotAllowed(f"this forge knows no contributor {name!r}; {_ASK}")
    _check_not_revoked(invited)
    presented_as = digest_of(certificate)
    if invited.certificate != presented_as and not _overlaps(invited, presented_as, ledger):
        raise NotAllowed(f"the certificate of {name} has been replaced by a newer one; use the newest kit")
    return Caller(name)


def authorise_submit(caller: Caller, manifest: Manifest, signature: bytes, ledger: Ledger, forge: str) -> None:
    """Raise NotAllowed unless a caller may submit a branch to this forge (a UUID) in its contributor's name."""
    _authorise(caller, manifest.contributor, SUBMIT, submit_statement(forge, manifest.digest), signature, ledger)


def authorise_withdraw(
    caller: Caller, contributor: str, request: pb.WithdrawRequest, ledger: Ledger, forge: str
) -> None:
    """Raise NotAllowed unless a caller may withdraw a contributor's branch from this forge (a UUID), as asked for now.

    Whether it was asked for before in the same words, the ledger knows.
    """
    if request.nonce:
        _check_fresh(request)
    said = withdraw_statement(forge, request.branch, request.erase, request.nonce.hex(), request.signed_at)
    _authorise(caller, contributor, WITHDRAW, said, request.signature, ledger)


def authorise_review(caller: Caller, review: Review, signature: bytes, ledger: Ledger, forge: str) -> bytes:
    """Raise NotAllowed unless a caller may review in this reviewer's name; return the key (b"" for none) that signed.

    What counts is this forge (a UUID), whatever the review names.
    """
    statement = review_statement(forge, review.digest)
    return _authorise(caller, review.reviewer, REVIEW, statement, signature, ledger)


def _authorise(
    caller: Caller, contributor: str, purpose: str, statement: Statement, signature: bytes, ledger: Ledger
) -> bytes:
    """Return the key that the signature is by, b"" where none is asked for."""
    if caller.name not in (None, contributor):
        what = "review" if purpose == REVIEW else "branch"
        raise NotAllowed(
            f"the {what} is {contributor}'s, but the call came under the certificate of {caller.name}; "
            f"use the kit of {contributor}"
        )
    invited = ledger.contributor(contributor)
    if invited is None:
        # Only over plaintext, where the network is trusted: a name that nobody was given, anybody may use.
        return b""
    _check_not_revoked(invited)
    if not signature:
        raise NotAllowed(
            f"{contributor} was invited to this forge, so what comes under that name must be signed; "
            f"give the kit of {contributor} with --kit DIR"
        )
    try:
        verify(invited.key, purpose, statement, signature)
    except NotAllowed:
        earlier = earlier_kit(ledger, invited, now())
        if earlier is None:
            raise
        verify(earlier.public, purpose, statement, signature)
        return earlier.public
    return invited.key


def _overlaps(invited: Contributor, certificate: str, ledger: Ledger) -> bool:
    """Say whether a certificate is the one that a renewal left good for a while."""
    earlier = earlier_kit(ledger, invited, now())
    return earlier is not None and earlier.certificate == certificate


def _check_fresh(request: pb.WithdrawRequest) -> None:
    """Refuse a withdrawal that somebody may have kept back, and one whose nonce can be guessed or fills the ledger."""
    if not _SHORTEST_NONCE <= len(request.nonce) <= _LONGEST_NONCE:
        raise NotAllowed(
            f"the withdrawal has a nonce of {len(request.nonce)} bytes where {_SHORTEST_NONCE} to {_LONGEST_NONCE} "
            f"are due; withdraw with `medforge withdraw`"
        )
    signed_at = read_time(request.signed_at)
    if signed_at is None or abs(now() - signed_at) > _SIGNED_WITHIN:
        raise NotAllowed(
            f"the withdrawal was signed at {request.signed_at[:40]!r}, and this forge's clock says "
            f"{spell_time(now())}; set the clock, and withdraw again"
        )


def _check_not_revoked(invited: Contributor) -> None:
    if invited.revoked_at is not None:
        raise NotAllowed(f"the invitation of {invited.name} was revoked on {invited.revoked_at}; {_ASK}")
