"""How much two pictures are alike once one of them is turned, mirrored and zoomed to lie as the other does."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medforge.client.data.inspection.sketch import ANGLES, RINGS, radii

_ZOOM = 4
"""Rings by which either picture may be moved: together a zoom of 1.08⁸ = 1.85 at the most."""

_WINDOW = RINGS - 2 * _ZOOM
_FREQUENCIES = 28
_CONSTANT = 0.7
_PAIRS = 512
"""Pairs that are compared at once."""

Rings = NDArray[np.int8]
Pairs = NDArray[np.int64]
Scores = NDArray[np.float32]


class _Spectra(NamedTuple):
    """Hold the Fourier transform along each ring, complex64 [n, 22, 28], and the energy of each window [n, 9]."""

    rows: NDArray[np.complex64]
    energy: NDArray[np.float32]


def likeness(rings: Rings, pairs: Pairs, workers: ThreadPoolExecutor) -> Scores:
    """Return, for each of `pairs` [m, 2], the largest correlation of the two pictures' fine structure, −1 … 1.

    In a log-polar map a turn is a shift along the angle, a zoom a shift along the radius, and a mirroring turns the
    angle round (the Fourier–Mellin idea, Reddy and Chatterji 1996, here about the centre that both pictures share). All
    turns are tried at once by the correlation theorem, both mirrorings, and nine zooms from 0.54 to 1.85. A picture
    without structure is like no other: 0.
    """
    out = np.zeros(len(pairs), np.float32)

    def compare(start: int) -> None:
        part = pairs[start : start + _PAIRS]
        members, places = np.unique(part, return_inverse=True)
        spectra, places = _transform(rings[members]), places.reshape(part.shape)
        out[start : start + _PAIRS] = _best(spectra, places[:, 0], places[:, 1])

    for _ in workers.map(compare, range(0, len(pairs), _PAIRS)):
        pass
    return out


def unmoved_likeness(rings: Rings, pairs: Pairs) -> Scores:
    """Return the correlation of the two pictures of each pair as they lie, float32 [m]; 0 without structure.

    The outermost rings are left out: a frame or a mask that all pictures of a device share would count for most.
    """
    out = np.zeros(len(pairs), np.float32)
    inner = slice(_ZOOM, RINGS - _ZOOM)
    weights = radii()[inner, None]
    for start in range(0, len(pairs), _PAIRS):
        part = pairs[start : start + _PAIRS]
        one, other = (_centred(rings[part[:, side], inner]) * weights for side in (0, 1))
        sizes = np.sqrt((one**2).sum(axis=(1, 2)) * (other**2).sum(axis=(1, 2)))
        out[start : start + _PAIRS] = (one * other).sum(axis=(1, 2)) / np.maximum(sizes, 1e-6)
    return out


def _transform(rings: Rings) -> _Spectra:
    rows = np.fft.rfft(_centred(rings) * radii()[:, None], axis=2)[:, :, :_FREQUENCIES].astype(np.complex64)
    # how bright each ring is says less: a frame, or what hides the corners of a picture, is alike in all of a device
    rows[:, :, 0] *= np.float32(_CONSTANT)
    # every other frequency stands for two
    energy = (np.abs(rows) ** 2).sum(axis=2) - np.abs(rows[:, :, 0]) ** 2 / 2
    running = np.cumsum(energy, axis=1)
    running = np.concatenate([np.zeros_like(running[:, :1]), running], axis=1)
    return _Spectra(rows, np.sqrt(running[:, _WINDOW:] - running[:, :-_WINDOW]).astype(np.float32))


def _centred(rings: Rings) -> NDArray[np.float32]:
    centred: Scores = rings.astype(np.float32) - rings.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
    return centred


def _best(spectra: _Spectra, one: Pairs, other: Pairs) -> Scores:
    best = np.zeros(len(one), np.float32)
    for here, there in _zooms():
        left, right = spectra.rows[one, here : here + _WINDOW], spectra.rows[other, there : there + _WINDOW]
        energy = np.maximum(spectra.energy[one, here] * spectra.energy[other, there], 1e-6)
        for turned in (right.conj(), right):
            product = np.einsum("nrk,nrk->nk", left, turned)
            correlation = np.fft.irfft(product, n=ANGLES, axis=1).max(axis=1) * (ANGLES / 2)
            np.maximum(best, correlation / energy, out=best)
    return best


def _zooms() -> Iterator[tuple[int, int]]:
    """Yield the first rings of the two windows, for each zoom."""
    for steps in range(-_ZOOM * 2, _ZOOM * 2 + 1):
        yield _ZOOM + -(-steps // 2), _ZOOM - steps // 2
