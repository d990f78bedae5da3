import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from medforge.aggregator.main_branch.freed_memory import give_back

_PIECES, _KEPT, _SIZE = 2000, 20, 50_000


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


only_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has heaps of threads")
# eight threads that are there at once ask for memory, then glibc tells its heaps
_ASK = """
import ctypes, sys, threading
from medforge.aggregator.main_branch.freed_memory import share_arenas
if sys.argv[1] == "shared":
    print(share_arenas(), file=sys.stderr)
libc, all_there = ctypes.CDLL(None), threading.Barrier(8)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
def ask():
    all_there.wait()
    libc.malloc(1000)
    all_there.wait()
threads = [threading.Thread(target=ask) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
"""


def _heaps(place: Path, *, shared: bool, **environment: str) -> tuple[int, str]:
    told = place / f"{shared}{len(environment)}"
    kept = {name: value for name, value in os.environ.items() if name not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")}
    command = [sys.executable, "-c", _ASK, "shared" if shared else "own", str(told)]
    done = subprocess.run(command, env=kept | environment, check=True, capture_output=True, text=True)
    return len(re.findall("<heap nr", told.read_text())), done.stderr.strip()


@only_glibc
def test_threads_share_two_heaps_unless_somebody_else_has_said_how_many(tmp_path: Path) -> None:
    assert _heaps(tmp_path, shared=False)[0] > 4
    assert _heaps(tmp_path, shared=True) == (2, "True")
    assert _heaps(tmp_path, shared=True, MALLOC_ARENA_MAX="5") == (5, "False")


@only_glibc
def test_pieces_between_others_are_given_back() -> None:
    import ctypes

    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    # too small for pages of their own, and with one of each score left in between
    pieces = [libc.malloc(_SIZE) for _ in range(_PIECES)]
    for piece in pieces:
        ctypes.memset(piece, 1, _SIZE)
    for place, piece in enumerate(pieces):
        if place % _KEPT:
            libc.free(piece)
    before = _resident()
    assert give_back()
    freed = before - _resident()
    for piece in pieces[::_KEPT]:
        libc.free(piece)
    assert freed > _PIECES * _SIZE // 2
