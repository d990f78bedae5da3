"""How a command ends that did not succeed: one sentence and an exit code for each kind of failure."""

from __future__ import annotations

import errno
import json
import sys
import traceback

import click

from medforge.database_failures import database_failure
from medforge.errors import MedForgeError, printable, split_remedy

USER_MISTAKE = 2
BUG = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # 128 + SIGINT, as shells say it
# what whoever runs the machine can mend: permissions, a full, read-only or failing disk, names that it does not take,
# too few files that may be open
_MACHINE = {
    getattr(errno, name)
    for name in (
        *("EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "ENAMETOOLONG", "ENOTDIR", "EISDIR", "ELOOP"),
        *("EIO", "ESTALE", "EMFILE", "ENFILE"),
    )
}
_MOST = 30
INTERRUPTION = "interrupted; run the same command again to go on where it stopped"


def report(error: BaseException, as_json: bool) -> int:
    """Say on stderr why a command failed, and return its exit code; only a fault of the program has a traceback.

    As JSON the line is {"error": …, "remedy": …, "code": …}, where the remedy is null if the sentence names none; with
    "details" where more than one thing is wrong, which for people are lines below.
    """
    details: tuple[str, ...] = ()
    if isinstance(error, MedForgeError):
        sentence, code, exit_code, details = str(error), error.code, error.exit_code, error.details
    elif isinstance(error, click.ClickException):
        sentence, code, exit_code = _usage(error), "invalid-usage", USER_MISTAKE
    elif isinstance(error, (click.Abort, KeyboardInterrupt)):
        sentence, code, exit_code = _interruption(error), "interrupted", INTERRUPTED
    elif isinstance(error, OSError) and error.errno in _MACHINE:
        sentence, code, exit_code = _machine(error), "refused-by-system", USER_MISTAKE
    elif (failed := database_failure(error)) is not None:
        sentence, code, exit_code = failed
    else:
        traceback.print_exception(error)
        sentence, code, exit_code = f"this is a fault of medforge itself: {_name(error)}", "bug", BUG
        sentence += "; please report it with the lines above"
    if as_json:
        cause, remedy = split_remedy(sentence)
        more = {"details": list(details)} if details else {}
        line = json.dumps({"error": cause, "remedy": remedy, "code": code, **more}, ensure_ascii=False)
    else:
        shown = [f"  {printable(one)}" for one in details[:_MOST]]
        left = [f"  … and {len(details) - _MOST} more"] if len(details) > _MOST else []
        line = "\n".join([f"medforge: {sentence}", *shown, *left])
    print(line, file=sys.stderr)
    return exit_code


def _name(error: BaseException) -> str:
    return printable(f"{type(error).__name__}: {error}")


def _machine(error: OSError) -> str:
    reason = str(error.strerror).lower()
    return printable(f"{error.filename or 'a file'} cannot be used ({reason}); mend that, or give another place")


def _interruption(error: BaseException) -> str:
    """Return what the innermost block that was interrupted says is saved."""
    stopped = error if isinstance(error, KeyboardInterrupt) else error.__cause__
    notes = getattr(stopped, "__notes__", [])
    return f"interrupted: {notes[0]}" if notes else INTERRUPTION


def _usage(error: click.ClickException) -> str:
    """Return click's words as one of our sentences, with where to look as its remedy."""
    sentence = printable(" ".join(error.format_message().split())).rstrip(".")
    # click writes "No such option: --x. Did you mean --y?" and the like
    cause, stop, hint = sentence.partition(". ")
    cause = cause[:1].lower() + cause[1:]
    if stop and "--help" not in hint:  # which is like everything
        return f"{cause}; {hint[:1].lower()}{hint[1:]}"
    if "; " in cause:
        return cause
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "medforge"
    return f"{cause}; {path} --help explains its arguments"
