"""`medforge` as processes: a server whose CPU time and memory are read, and commands that are timed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_START_SECONDS = 600.0
_STOP_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """Hold seconds by the clock and of CPU time, all threads together."""

    wall: float
    cpu: float


@dataclass
class Server:
    """A `medforge serve` process, from its start on."""

    process: subprocess.Popen[bytes]
    address: str
    start: Cost

    @classmethod
    def begin(cls, forge: Path, base: str, threads: int, log: Path) -> Server:
        """Serve a forge over TLS on a free port; `start` is what it cost until it answered."""
        ready = forge.parent / "ready"
        ready.unlink(missing_ok=True)
        words = ["serve", "--forge", str(forge), "--base", base, "--tls", "--listen", "127.0.0.1:0", "--open-tasks",
                 "--threads", str(threads), "--ready-file", str(ready)]  # fmt: skip
        begun = time.monotonic()
        with log.open("ab") as said:
            process = subprocess.Popen([sys.executable, "-m", "medforge", *words], stderr=said, env=_few(threads))
        while not ready.exists() or not (address := ready.read_text()):
            if process.poll() is not None or time.monotonic() > begun + _START_SECONDS:
                process.kill()
                raise SystemExit(f"the server did not start; {log} says why")
            time.sleep(0.02)
        return cls(process, address, Cost(time.monotonic() - begun, _cpu_seconds(process.pid)))

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of all its threads so far."""
        if self.process.poll() is not None:
            raise SystemExit("the server ended; its log says why")
        return _cpu_seconds(self.process.pid)

    @property
    def resident(self) -> int:
        """Resident bytes."""
        found = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{self.process.pid}/status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def end(self) -> None:
        """Ask it to stop, and wait."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def command(*words: str) -> Cost:
    """Run a `medforge` command and return what it cost; raise SystemExit where it fails."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "medforge", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_few(1)
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"medforge {' '.join(words)} ended with {process.returncode}: {said.decode()}")
    return Cost(time.monotonic() - begun, used.ru_utime + used.ru_stime)


def bytes_below(directory: Path) -> int:
    """Sum up the sizes of the files below a directory."""
    return sum(entry.stat().st_size for entry in directory.rglob("*") if entry.is_file())


def _cpu_seconds(pid: int) -> float:
    # utime and stime (proc(5)), behind the command's name, which may hold blanks
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _few(threads: int) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": str(threads)}
