import platform
from pathlib import Path

import pytest

from medforge.aggregator.main_branch.freed_memory import give_back

_PIECES, _KEPT, _SIZE = 2000, 20, 50_000


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back when asked")
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
