"""Whether a kit is sound, valid and secret, and knows the forge's CAs."""

from __future__ import annotations

from medforge.client.doctor.diagnosis import Diagnosis, problem, skipped
from medforge.errors import InvalidInput, MedForgeError
from medforge.proto import forge_pb2 as pb
from medforge.proto.certificates import ENDS_SOON, days_until, now, spell_time
from medforge.proto.errors import NotAllowed
from medforge.proto.forge_authorities import authorities_from_message
from medforge.proto.kit import Kit


def check_kit(kit: Kit | None) -> Diagnosis:
    """See whether the kit's secrets are secret; that its parts belong together has been seen when it was opened."""
    if kit is None:
        return skipped("kit", "no kit was given")
    loose = kit.readable_by_others()
    if loose:
        files = " ".join(str(kit.directory / name) for name in loose)
        return Diagnosis(
            "kit", "warning", f"other users of this machine can read {' and '.join(loose)}", f"chmod 600 {files}"
        )
    return Diagnosis("kit", "ok", f"{kit.card.contributor}, for forge {kit.card.forge}")


def check_certificate(kit: Kit | None, refusal: NotAllowed | None = None) -> Diagnosis:
    """See whether the kit's certificate is valid, for how long, and whether the forge still honours it."""
    if kit is None:
        return skipped("certificate", "no kit was given")
    moment = now()
    try:
        kit.check_valid(moment)
    except InvalidInput as error:
        return problem("certificate", error)
    if refusal is not None:
        return problem("certificate", refusal)
    ends = kit.ends
    if ends - moment < ENDS_SOON:
        return Diagnosis(
            "certificate",
            "warning",
            f"it ends in {days_until(ends, moment)}, on {spell_time(ends)}",
            "ask whoever runs the forge for a new kit (`medforge invite --renew`) before then",
        )
    return Diagnosis("certificate", "ok", f"valid for {days_until(ends, moment)}, until {spell_time(ends)}")


def check_authorities(reply: pb.DescribeReply | None, kit: Kit | None) -> Diagnosis:
    """See whether the kit remembers which CA follows the one that it came with, where the forge has another."""
    if kit is None or reply is None:
        return skipped("CA", "no kit was given" if kit is None else "the forge could not be asked for its CAs")
    try:
        links = authorities_from_message(reply)
        remembered = kit.learn(links)
    except MedForgeError as error:
        return problem("CA", error)
    if not links:
        return Diagnosis("CA", "ok", "the forge has the CA that the kit came with")
    newest = links[-1]
    ends = spell_time(newest.until)
    what = f"the forge has another CA since {spell_time(newest.since)}; the one before is trusted until {ends}"
    if remembered:
        return Diagnosis("CA", "ok", f"{what}, and the kit knows both")
    fix = f"let whoever runs medforge write into {kit.directory}, or ask for a new kit before then"
    return Diagnosis("CA", "warning", f"{what}, which the kit cannot remember", fix)
