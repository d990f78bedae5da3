"""A small picture of each image, in which copies and look-alikes are recognised.

Three parts, each for one purpose: *tones* (how bright each colour is, whatever lies where) find candidates that may be
turned, mirrored and zoomed versions of one another; a *layout* of 8 × 8 finds candidates that lie alike; and *rings*, a
log-polar map of the fine structure, decide (see `medforge.client.data.inspection.alignment`).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 64
"""Width and height of the small picture that a sketch is made of."""

VERSION = 1
"""Version of a sketch's content; raise it whenever the same image would give another one."""

ANGLES = 64
RINGS = 22
RATIO = 1.08
"""Of the radii of two neighbouring rings: a zoom by it moves a picture by one ring."""

_TONES = (5, 15, 30, 50, 70, 85, 95)
_LAYOUT = 8
_COARSE = 4.0
"""Standard deviation, in pixels of the small picture, of the blur that is taken away."""

_FLAT = 0.75
"""Grey levels (standard deviation of the fine structure) below which a picture shows nothing to recognise it by."""

_GREY = np.array([0.299, 0.587, 0.114], np.float32)

BYTES = len(_TONES) * 3 + _LAYOUT**2 + RINGS * ANGLES
"""Bytes of one sketch."""

Pixels = NDArray[np.uint8]


class Sketches(NamedTuple):
    """Hold sketches: tones uint8 [n, 21], layout int8 [n, 64], rings int8 [n, 22, 64]; rings are 0 where flat."""

    tones: NDArray[np.uint8]
    layout: NDArray[np.int8]
    rings: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.tones)

    def as_bytes(self, position: int) -> bytes:
        """Return one sketch as bytes."""
        return b"".join(part[position].tobytes() for part in self)

    @classmethod
    def of_bytes(cls, rows: list[bytes]) -> Sketches:
        """Return sketches that `as_bytes` wrote."""
        whole = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), BYTES)
        tones, layout, rings = np.split(whole, np.cumsum([len(_TONES) * 3, _LAYOUT**2]), axis=1)
        return cls(tones, layout.view(np.int8), rings.view(np.int8).reshape(-1, RINGS, ANGLES))


def sketch(small: Pixels) -> Sketches:
    """Sketch pictures uint8 [n, 64, 64, 3]."""
    grey = small.astype(np.float32) @ _GREY
    return Sketches(_tones(small), _layout(grey), _rings(grey))


def _tones(small: Pixels) -> NDArray[np.uint8]:
    """Return seven percentiles of each colour [n, 21]."""
    ordered = np.sort(small.reshape(len(small), -1, 3), axis=1, kind="stable")
    last = ordered.shape[1] - 1
    return ordered[:, [round(share / 100 * last) for share in _TONES]].reshape(len(small), -1)


def _layout(grey: NDArray[np.float32]) -> NDArray[np.int8]:
    step = SIDE // _LAYOUT
    coarse = grey.reshape(-1, _LAYOUT, step, _LAYOUT, step).mean(axis=(2, 4)).reshape(len(grey), -1)
    return _eight_bits(coarse - coarse.mean(axis=1, keepdims=True), 0.0)


def _rings(grey: NDArray[np.float32]) -> NDArray[np.int8]:
    """Return the fine structure along circles around the centre, the innermost first [n, 22, 64]."""
    fine = grey - _blur() @ grey @ _blur().T
    flat = fine.reshape(len(fine), -1).std(axis=1) < _FLAT
    corners, weights = _places()
    rings = (fine.reshape(len(fine), -1)[:, corners] * weights).sum(axis=2)
    rings = _eight_bits(rings - rings.mean(axis=1, keepdims=True), 1e-3)
    rings[flat] = 0
    return rings.reshape(-1, RINGS, ANGLES)


def _eight_bits(rows: NDArray[np.float32], least: float) -> NDArray[np.int8]:
    largest = np.maximum(np.abs(rows).max(axis=1, keepdims=True), max(least, 1e-6))
    scaled: NDArray[np.int8] = np.round(rows * (127 / largest)).astype(np.int8)
    return scaled


@cache
def radii() -> NDArray[np.float32]:
    """Return the rings' radii in pixels of the small picture, the innermost first [22]."""
    return (0.98 * (SIDE - 1) / 2 / RATIO ** np.arange(RINGS)[::-1]).astype(np.float32)


@cache
def _blur() -> NDArray[np.float32]:
    """Return the matrix that blurs along one axis, the border repeated [64, 64]."""
    reach = np.arange(SIDE)
    weights = np.exp(-0.5 * (np.arange(-3 * SIDE, 3 * SIDE + 1) / _COARSE) ** 2)
    matrix = np.zeros((SIDE, SIDE))
    for offset, weight in zip(range(-3 * SIDE, 3 * SIDE + 1), weights / weights.sum(), strict=True):
        np.add.at(matrix, (reach, np.clip(reach + offset, 0, SIDE - 1)), weight)
    return matrix.astype(np.float32)


@cache
def _places() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return, for each point of the rings, its four pixels and their bilinear weights [1408, 4]."""
    angles = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    centre = (SIDE - 1) / 2
    rows = (centre + radii()[:, None] * np.sin(angles)).ravel()
    columns = (centre + radii()[:, None] * np.cos(angles)).ravel()
    top, left = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    down, right = rows - top, columns - left
    corners = np.stack([top * SIDE + left, top * SIDE + left + 1, (top + 1) * SIDE + left, (top + 1) * SIDE + left + 1])
    weights = np.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])
    return corners.T.copy(), weights.T.astype(np.float32)
