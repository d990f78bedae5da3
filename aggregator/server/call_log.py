"""One line of the log for a call that has ended."""

import logging

from medforge.aggregator.logs import about
from medforge.aggregator.server.call_record import OK, CallRecord

_calls = logging.getLogger("medforge.calls")
# calls that change the forge; all others are told only where somebody looks closely, or where they are refused
_DECISIVE = frozenset({"Submit", "Withdraw"})
_GONE = frozenset({OK, "CANCELLED"})


def log_call(call: CallRecord) -> None:
    """Log a call that has ended: refusals and what changes the forge at INFO, the rest at DEBUG."""
    refused = call.code not in _GONE
    level = logging.INFO if refused or call.method in _DECISIVE else logging.DEBUG
    if not _calls.isEnabledFor(level):
        return
    fields = {"caller": call.caller} | call.about | {"peer": call.peer, "seconds": round(call.seconds, 4)}
    fields["cpu_seconds"] = round(call.cpu_seconds, 4)
    ending = f"refused ({call.kind or call.code}): {call.sentence}" if refused else call.code
    said = ", ".join(f"{name} {value}" for name, value in call.about.items())
    extra = about(call.method.lower(), **fields, status=call.code, refusal=call.kind or None)
    _calls.log(level, "%s by %s%s: %s", call.method, call.caller, f" ({said})" if said else "", ending, extra=extra)
