"""A terminal: a shell that is typed into, and what it showed."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

LONGEST = 600  # seconds that one block may take beside other work
READY = 150  # seconds until one that goes on must have shown what it should
# what a person would notice, a script must look for: a command that failed, though others follow it
_BEGIN = "failed=0; trap 'failed=$?' ERR; trap : INT; set -o pipefail\n"


class Differs(AssertionError):
    """Raised where following a page does not go as the page says."""


class Terminal:
    """A bash that keeps its variables and its directory from one block to the next, as a person's does."""

    def __init__(self, enter: Sequence[str], home: Path, environment: Mapping[str, str], notes: Path) -> None:
        self._notes = notes
        self._blocks = 0
        self._process = subprocess.Popen(
            [*enter, "bash", "--noprofile", "--norc"],
            cwd=home,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._type(_BEGIN)

    def begin(self, text: str) -> None:
        """Type a block."""
        self._blocks += 1
        self._note("sh").write_text(text, encoding="utf-8")
        for kind in ("out", "err"):
            self._note(kind).touch()
            # another account may be at this terminal
            self._note(kind).chmod(0o666)
        done = self._note("done")
        typed = f". {self._note('sh')} >{self._note('out')} 2>{self._note('err')} </dev/null"
        self._type(f"failed=0; {typed}; echo $failed >{done}.new; mv {done}.new {done}\n")

    def end(self) -> int:
        """Wait until the block has ended; return the code of the last command that failed, 0 where none did."""
        end = time.monotonic() + LONGEST
        while not self._note("done").exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise Differs(f"the terminal does not come back\n{self.shown()}")
            time.sleep(0.05)
        return int(self._note("done").read_text())

    def wait_to_see(self, expected: str) -> None:
        """Wait until a block that goes on has shown what it should."""
        end = time.monotonic() + READY
        while not pattern_of(expected, goes_on=True).fullmatch(_tidy(self.shown())):
            if self._note("done").exists() or time.monotonic() > end:
                raise Differs(f"shows\n{self.shown()}\nnot\n{expected}")
            time.sleep(0.1)

    def printed(self) -> str:
        """Return what the last block printed on stdout."""
        return self._note("out").read_text(encoding="utf-8")

    def shown(self) -> str:
        """Return all that the last block showed."""
        return self.printed() + self._note("err").read_text(encoding="utf-8")

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.killpg(self._process.pid, signal.SIGINT)

    def close(self) -> None:
        """End the shell and all that it began."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def _note(self, kind: str) -> Path:
        return self._notes.with_name(f"{self._notes.name}-{self._blocks}.{kind}")

    def _type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()


def pattern_of(expected: str, goes_on: bool = False) -> re.Pattern[str]:
    """Return what output must match: … is anything within a line, and any lines where it stands alone."""
    lines = [
        r"(?:[^\n]*\n)*?" if line.strip() == "…" else re.escape(line).replace("…", r"[^\n]*") + r"\n"
        for line in _tidy(expected).splitlines()
    ]
    return re.compile("".join(lines) + (r"(?s:.*)" if goes_on else ""))


def _tidy(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def compare(printed: str, expected: str) -> None:
    """Raise Differs where what was printed is not what a page shows."""
    if not pattern_of(expected).fullmatch(_tidy(printed)):
        raise Differs(f"prints\n{printed}\nnot\n{expected}")
