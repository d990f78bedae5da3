"""Bech32, in which age's keys are written: letters that are not mixed up, and a checksum that finds a wrong one."""

from __future__ import annotations

_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def encode(prefix: str, data: bytes) -> str:
    """Write bytes under a prefix in lower case (BIP 173)."""
    digits = _regroup(data, 8, 5, pad=True)
    checksum = _polymod([*_spread(prefix), *digits, 0, 0, 0, 0, 0, 0]) ^ 1
    digits += [checksum >> 5 * (5 - place) & 31 for place in range(6)]
    return f"{prefix}1{''.join(_LETTERS[digit] for digit in digits)}"


def decode(prefix: str, text: str) -> bytes:
    """Read bytes that stand under a prefix, in one case; raises ValueError for anything else."""
    if text not in (text.lower(), text.upper()):
        raise ValueError("upper and lower case are mixed")
    found, _, written = text.lower().rpartition("1")
    digits = [_LETTERS.find(letter) for letter in written]
    if found != prefix or len(digits) < 6 or -1 in digits:
        raise ValueError(f"it is not written as {prefix}1 and letters")
    if _polymod([*_spread(prefix), *digits]) != 1:
        raise ValueError("a letter of it is wrong")
    return bytes(_regroup(digits[:-6], 5, 8, pad=False))


def _spread(prefix: str) -> list[int]:
    return [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]


def _polymod(digits: list[int]) -> int:
    check = 1
    for digit in digits:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ digit
        for place, generator in enumerate(_GENERATOR):
            check ^= generator if top >> place & 1 else 0
    return check


def _regroup(digits: bytes | list[int], old: int, new: int, pad: bool) -> list[int]:
    held, bits, regrouped = 0, 0, []
    for digit in digits:
        held, bits = (held << old | digit) & 0xFFF, bits + old
        while bits >= new:
            bits -= new
            regrouped.append(held >> bits & ((1 << new) - 1))
    rest = held & ((1 << bits) - 1)
    if pad and bits:
        regrouped.append(rest << new - bits)
    elif not pad and (bits >= old or rest):
        raise ValueError("it holds bits that stand for nothing")
    return regrouped
