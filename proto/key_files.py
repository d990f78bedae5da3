"""Files of private keys: PEM (PKCS#8), encrypted where a passphrase is given, readable by their owner alone."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from medforge.errors import CorruptFile, InvalidInput
from medforge.files import read_file, write_atomically
from medforge.proto.passphrase import VARIABLE, passphrase_for

PrivateKey: TypeAlias = EllipticCurvePrivateKey | Ed25519PrivateKey

_ENCRYPTED = "ENCRYPTED PRIVATE KEY"
_MARK = f"-----BEGIN {_ENCRYPTED}-----".encode()
# OWASP's least for scrypt; OpenSSL refuses what needs more than 32 MB
_COST, _BLOCK, _LANES = 1 << 14, 8, 5
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")


def load_private_key(path: Path, what: str) -> PrivateKey:
    """Read a private key; an encrypted one with the passphrase that is given, or asked for.

    Raises InvalidInput for a missing file, or a missing or wrong passphrase, and CorruptFile for what is no such key.
    """
    data = read_file(path, what)
    passphrase = passphrase_for(path) if is_encrypted(data) else None
    try:
        key = load_pem_private_key(data, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if passphrase is None:
            raise CorruptFile(f"{path} is not a private key; restore it from a backup") from error
        raise InvalidInput(
            f"{path} cannot be decrypted, as the passphrase is another one or the file is damaged; give the right one "
            f"in {VARIABLE} or by typing it, or restore the file from a backup"
        ) from error
    if not isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise CorruptFile(f"{path} is neither an ECDSA nor an Ed25519 key; restore it from a backup")
    return key


def parse_private_key(pem: bytes) -> PrivateKey:
    """Read a private key of one's own that is not encrypted."""
    key = load_pem_private_key(pem, None)
    assert isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey)
    return key


def save_private_key(path: Path, key: PrivateKey, passphrase: bytes | None = None) -> None:
    """Write a private key, encrypted where a passphrase is given."""
    write_atomically(path, pem_of(key) if passphrase is None else encrypted_pem(key, passphrase))


def is_encrypted(data: bytes) -> bool:
    """Say whether a file of a private key is encrypted."""
    return _MARK in data


def pem_of(key: PrivateKey) -> bytes:
    """Spell a private key as PEM (PKCS#8)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def encrypted_pem(key: PrivateKey, passphrase: bytes) -> bytes:
    """Spell a private key as PEM, encrypted with AES-256-CBC under scrypt (PKCS#8, PBES2 of RFC 8018, RFC 7914).

    `cryptography` itself only writes PBKDF2 with 2048 rounds, which a passphrase that people choose does not stand;
    it reads this, and so does OpenSSL.
    """
    salt, start = os.urandom(16), os.urandom(16)
    derived = Scrypt(salt=salt, length=32, n=_COST, r=_BLOCK, p=_LANES).derive(passphrase)
    padder, encryptor = PKCS7(128).padder(), Cipher(AES(derived), CBC(start)).encryptor()
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    sealed = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    scrypt = _sequence(_SCRYPT, _sequence(_octets(salt), *map(_integer, (_COST, _BLOCK, _LANES))))
    cipher = _sequence(_AES_256_CBC, _octets(start))
    return _pem(_sequence(_sequence(_PBES2, _sequence(scrypt, cipher)), _octets(sealed)))


def _pem(der: bytes) -> bytes:

    text = b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join((_MARK.decode(), *lines, f"-----END {_ENCRYPTED}-----", "")).encode()


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _octets(data: bytes) -> bytes:
    return _tagged(0x04, data)


def _integer(value: int) -> bytes:
    return _tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _tagged(tag: int, data: bytes) -> bytes:
    """Spell one value in DER (X.690)."""
    size = len(data).to_bytes((len(data).bit_length() + 7) // 8 or 1, "big")
    return bytes([tag, *(size if len(data) < 0x80 else (0x80 | len(size), *size))]) + data
