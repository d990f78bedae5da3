"""Encryption of a file in age's format (age-encryption.org/v1), as a stream: `age` and `rage` open it too.

The format is C2SP's (https://c2sp.org/age): a header that wraps a fresh file key for whoever may read, then STREAM with
ChaCha20-Poly1305, so that no chunk can be altered, moved or cut off. Its Python binding knows no streams with a
passphrase.
"""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from medforge.aggregator.backup.bech32 import decode, encode
from medforge.errors import CorruptFile, InvalidInput

_VERSION = b"age-encryption.org/v1"
_X25519, _SCRYPT = b"age-encryption.org/v1/X25519", b"age-encryption.org/v1/scrypt"
_CHUNK, _TAG = 1 << 16, 16
_FILE_KEY, _SALT = 16, 16
_WORK, _MOST_WORK = 18, 22  # log2 of scrypt's N: 256 MiB, and at most 4 GiB of whoever opens a file
_LONGEST_LINE, _MOST_LINES = 1 << 12, 200
_NO_NONCE = bytes(12)


@dataclass(frozen=True)
class Stanza:
    """Hold one way to the file key, as it stands in a header: words, and the wrapped key."""

    words: tuple[str, ...]
    body: bytes


class Lock(Protocol):
    """Wrap a file key for somebody."""

    def wrap(self, file_key: bytes) -> Stanza:
        """Return the stanza by which they find the file key."""


class Opener(Protocol):
    """Find the file key of what was locked for somebody."""

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key, None for a stanza that is not for them; raises InvalidTag where it does not open."""


@dataclass(frozen=True)
class Passphrase:
    """Lock and open with a passphrase (scrypt); ``work`` is log2 of its cost when locking."""

    text: str
    work: int = _WORK

    def wrap(self, file_key: bytes) -> Stanza:
        """Return the stanza by which the passphrase gives the file key."""
        salt = os.urandom(_SALT)
        body = ChaCha20Poly1305(self._key(salt, self.work)).encrypt(_NO_NONCE, file_key, None)
        return Stanza(("scrypt", _text64(salt), str(self.work)), body)

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key; raises InvalidTag for another passphrase, ValueError for what no computer opens."""
        if stanza.words[0] != "scrypt":
            return None
        _, salt, said = stanza.words
        work = int(said)
        if not 0 < work <= _MOST_WORK:
            raise ValueError("its passphrase takes more work than is sensible")
        return ChaCha20Poly1305(self._key(_bytes64(salt), work)).decrypt(_NO_NONCE, stanza.body, None)

    def _key(self, salt: bytes, work: int) -> bytes:
        return Scrypt(salt=_SCRYPT + salt, length=32, n=1 << work, r=8, p=1).derive(self.text.encode())


@dataclass(frozen=True)
class Recipient:
    """Lock for whoever has the private key of a public one, `age1…` (X25519)."""

    public: bytes

    @classmethod
    def parse(cls, text: str) -> Recipient:
        """Read a public key; raises InvalidInput for what is none."""
        try:
            return cls(_whole(decode("age", text.strip())))
        except ValueError as error:
            raise InvalidInput(
                f"{text[:80]!r} is no age key ({error}); give the line of the key file that begins with age1"
            ) from error

    def __str__(self) -> str:
        return encode("age", self.public)

    def wrap(self, file_key: bytes) -> Stanza:
        """Return the stanza by which the private key gives the file key."""
        once = X25519PrivateKey.generate()
        share = once.public_key().public_bytes_raw()
        secret = once.exchange(X25519PublicKey.from_public_bytes(self.public))
        key = _derive(secret, share + self.public, _X25519)
        return Stanza(("X25519", _text64(share)), ChaCha20Poly1305(key).encrypt(_NO_NONCE, file_key, None))


@dataclass(frozen=True)
class Identity:
    """Open with a private key, `AGE-SECRET-KEY-1…` (X25519)."""

    private: bytes

    @classmethod
    def new(cls) -> Identity:
        """Make a private key from the system's randomness."""
        return cls(X25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> Identity:
        """Read the private key in a key file, as `age-keygen` writes it; raises InvalidInput where there is none."""
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        try:
            (line,) = lines
            return cls(_whole(decode("age-secret-key-", line)))
        except ValueError:
            raise InvalidInput(
                "the key file does not hold one line AGE-SECRET-KEY-1…; give a file that `age-keygen` or "
                "`medforge backup-key` made"
            ) from None

    def __str__(self) -> str:
        return encode("age-secret-key-", self.private).upper()

    @property
    def recipient(self) -> Recipient:
        """The public key."""
        return Recipient(X25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw())

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key; None for a stanza of another kind, raises InvalidTag for another key's."""
        if stanza.words[0] != "X25519":
            return None
        share = _whole(_bytes64(stanza.words[1]))
        secret = X25519PrivateKey.from_private_bytes(self.private).exchange(X25519PublicKey.from_public_bytes(share))
        key = _derive(secret, share + self.recipient.public, _X25519)
        return ChaCha20Poly1305(key).decrypt(_NO_NONCE, stanza.body, None)


@dataclass(frozen=True)
class FileKey:
    """Open what this process has just written, whoever it is locked for."""

    key: bytes

    def unwrap(self, stanza: Stanza) -> bytes | None:
        """Return the file key."""
        return self.key


class SealedWriter:
    """Encrypt what is written into a file; only `close` makes it whole."""

    def __init__(self, file: BinaryIO, lock: Lock) -> None:
        self._file = file
        self.key = FileKey(os.urandom(_FILE_KEY))
        header = _header(lock.wrap(self.key.key))
        nonce = os.urandom(_SALT)
        file.write(header + b" " + _text64(_mac(self.key.key, header)).encode() + b"\n" + nonce)
        self._chunks = _Chunks(self.key.key, nonce)
        self._held = bytearray()

    def write(self, data: bytes) -> int:
        """Encrypt some more."""
        self._held += data
        # the last chunk is sealed as such, so one stays behind
        while len(self._held) > _CHUNK:
            self._file.write(self._chunks.seal(bytes(self._held[:_CHUNK]), last=False))
            del self._held[:_CHUNK]
        return len(data)

    def close(self) -> None:
        """Write the last chunk; the file itself stays open."""
        self._file.write(self._chunks.seal(bytes(self._held), last=True))


class SealedReader:
    """Decrypt a file as it is read.

    Raises InvalidInput for another passphrase or key, CorruptFile for what is no such file or was altered or cut off.
    """

    def __init__(self, file: BinaryIO, opener: Opener) -> None:
        self._file = file
        key, nonce = _open(file, opener)
        self._chunks = _Chunks(key, nonce)
        self._next = file.read(_CHUNK + _TAG)
        self._held = b""
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; fewer than asked for only at the end."""
        pieces, wanted = [], size
        while size < 0 or wanted > 0:
            if not self._held and not self._more():
                break
            piece = self._held if size < 0 else self._held[:wanted]
            self._held = self._held[len(piece) :]
            wanted -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def _more(self) -> bool:
        if self._ended:
            return False
        sealed, self._next = self._next, self._file.read(_CHUNK + _TAG)
        self._ended = not self._next
        try:
            self._held = self._chunks.open(sealed, last=self._ended)
        except InvalidTag:
            raise CorruptFile("the backup was altered or cut off after it was written; use another") from None
        return True


class _Chunks:
    """Seal or open chunk after chunk, each by its place and whether it is the last."""

    def __init__(self, file_key: bytes, nonce: bytes) -> None:
        self._cipher = ChaCha20Poly1305(_derive(file_key, nonce, b"payload"))
        self._place = 0

    def seal(self, chunk: bytes, last: bool) -> bytes:
        return self._cipher.encrypt(self._nonce(last), chunk, None)

    def open(self, sealed: bytes, last: bool) -> bytes:
        return self._cipher.decrypt(self._nonce(last), sealed, None)

    def _nonce(self, last: bool) -> bytes:
        nonce = self._place.to_bytes(11) + bytes([last])
        self._place += 1
        return nonce


def _open(file: BinaryIO, opener: Opener) -> tuple[bytes, bytes]:
    """Return the file key and the payload's nonce."""
    try:
        stanzas, header, mac = _read_header(file)
        key = next((found for one in stanzas if (found := _unwrapped(opener, one)) is not None), None)
        nonce = file.read(_SALT)
        if key is not None and len(nonce) == _SALT:
            _check_mac(key, header, mac)
            return key, nonce
    except (ValueError, IndexError, InvalidSignature):
        raise CorruptFile("this is no backup, or its beginning was altered; give another file") from None
    raise InvalidInput("the passphrase or key does not open this backup; give the one that it was made with")


def _unwrapped(opener: Opener, stanza: Stanza) -> bytes | None:
    try:
        return opener.unwrap(stanza)
    except InvalidTag:
        return None


def _header(stanza: Stanza) -> bytes:
    body = _text64(stanza.body)
    # the last line of a body is shorter than a whole one
    lines = [body[start : start + 64] for start in range(0, len(body) + 1, 64)]
    return b"\n".join([_VERSION, f"-> {' '.join(stanza.words)}".encode(), *(line.encode() for line in lines), b"---"])


def _read_header(file: BinaryIO) -> tuple[list[Stanza], bytes, bytes]:
    read: list[bytes] = []

    def line() -> str:
        found = file.readline(_LONGEST_LINE)
        if not found.endswith(b"\n") or len(read) > _MOST_LINES:
            raise ValueError("no header")
        read.append(found)
        return found[:-1].decode("ascii")

    if line().encode() != _VERSION:
        raise ValueError("another format")
    stanzas = []
    while (first := line()).startswith("-> "):
        body = [line()]
        while len(body[-1]) == 64:
            body.append(line())
        stanzas.append(Stanza(tuple(first[3:].split(" ")), _bytes64("".join(body))))
    if not first.startswith("--- "):
        raise ValueError("no end of the header")
    return stanzas, b"".join(read[:-1]) + b"---", _bytes64(first[4:])


def _mac(file_key: bytes, header: bytes) -> bytes:
    mac = HMAC(_derive(file_key, b"", b"header"), SHA256())
    mac.update(header)
    return mac.finalize()


def _check_mac(file_key: bytes, header: bytes, found: bytes) -> None:
    mac = HMAC(_derive(file_key, b"", b"header"), SHA256())
    mac.update(header)
    mac.verify(found)


def _derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(secret)


def _text64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _bytes64(text: str) -> bytes:
    data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    if _text64(data) != text:
        raise ValueError("another spelling")
    return data


def _whole(key: bytes) -> bytes:
    if len(key) != 32:
        raise ValueError("it has another length")
    return key
