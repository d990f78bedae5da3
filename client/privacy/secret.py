"""The secret that noise is drawn from: who knew it could take the noise away again."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

import torch
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from torch import Tensor

_BYTES = 32
_MANTISSA = 53


@dataclass(frozen=True)
class NoiseSecret:
    """Hold a random key, from which the noise of every named place is drawn, and nobody can tell it without the key.

    A run that was killed goes on with the noise that it began with; two runs never share a key. The seed of the recipe
    stands in the manifest and would give the noise away; torch's CPU generator takes 32 bits of a seed, which can be
    tried one by one.
    """

    key: bytes = field(default_factory=lambda: secrets.token_bytes(_BYTES), repr=False)

    def uniform(self, count: int, *place: str | int) -> Tensor:
        """Return float64 numbers in (0, 1], each a multiple of 2⁻⁵³, from the ChaCha20 stream of a place."""
        stream = Cipher(ChaCha20(self._key_for(place), bytes(16)), mode=None).encryptor()
        words = torch.frombuffer(bytearray(stream.update(bytes(8 * count))), dtype=torch.int64)
        numbers: Tensor = ((words & ((1 << _MANTISSA) - 1)).double() + 1) * 2.0**-_MANTISSA
        return numbers

    def normal(self, shape: torch.Size | tuple[int, ...], *place: str | int) -> Tensor:
        """Return standard normal numbers of a shape, float64 on the CPU (Box and Muller 1958)."""
        count = torch.Size(shape).numel()
        half = -(-count // 2)
        lengths, turns = self.uniform(2 * half, *place).split(half)
        radius, angle = (-2 * lengths.log()).sqrt(), 2 * torch.pi * turns
        numbers: Tensor = torch.cat([radius * angle.cos(), radius * angle.sin()])[:count].reshape(shape)
        return numbers

    def laplace(self, shape: torch.Size | tuple[int, ...], *place: str | int) -> Tensor:
        """Return numbers of the density ½ exp(−|x|), float64 on the CPU: the difference of two exponential ones."""
        count = torch.Size(shape).numel()
        first, second = self.uniform(2 * count, *place).split(count)
        numbers: Tensor = (second.log() - first.log()).reshape(shape)
        return numbers

    def generator(self, *place: str | int) -> torch.Generator:
        """Make a CPU torch generator for chance that hides nothing by itself: which crops, which dropout masks."""
        return torch.Generator().manual_seed(int.from_bytes(self._key_for(place)[:8], "big") >> 1)

    def _key_for(self, place: tuple[str | int, ...]) -> bytes:
        return hmac.digest(self.key, "/".join(map(str, place)).encode(), hashlib.sha256)
