"""age's format: what is written is read, by `age` too where it is here, and nothing altered or cut off passes."""

import os
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.aggregator.backup.age import Identity, Lock, Opener, Passphrase, Recipient, SealedReader, SealedWriter
from medforge.aggregator.backup.bech32 import decode, encode
from medforge.errors import CorruptFile, InvalidInput, MedForgeError

CHUNK = 1 << 16
QUICK = Passphrase("correct horse battery", work=4)
KEY = Identity.new()
# from the age specification's test vectors for X25519: a key and its public half
KNOWN = (
    "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX",
    "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj",
)


def sealed(data: bytes, lock: Lock = KEY.recipient) -> bytes:
    file = BytesIO()
    writer = SealedWriter(file, lock)
    for start in range(0, len(data), 50_000):
        writer.write(data[start : start + 50_000])
    writer.close()
    return file.getvalue()


def opened(data: bytes, opener: Opener = KEY) -> bytes:
    return SealedReader(BytesIO(data), opener).read()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 200_000])
@pytest.mark.parametrize(("lock", "opener"), [(QUICK, Passphrase(QUICK.text)), (KEY.recipient, KEY)])
def test_what_is_written_is_read(size: int, lock: Lock, opener: Opener) -> None:
    data = os.urandom(size)
    assert opened(sealed(data, lock), opener) == data


def test_age_itself_reads_it_and_is_read() -> None:
    age = pytest.importorskip("pyrage", reason="pyrage, which would read and write age's files too, is not installed")
    for data in (b"", os.urandom(CHUNK), os.urandom(CHUNK + 1)):
        assert age.passphrase.decrypt(sealed(data, QUICK), QUICK.text) == data
        assert age.decrypt(sealed(data), [age.x25519.Identity.from_str(str(KEY))]) == data
        theirs = age.x25519.Identity.generate()
        ours = Identity.parse(str(theirs))
        assert str(ours.recipient) == str(theirs.to_public())
        assert opened(age.encrypt(data, [theirs.to_public()]), ours) == data


def test_keys_are_those_of_age() -> None:
    identity = Identity.parse(f"# a comment\n{KNOWN[0]}\n")
    assert (str(identity), str(identity.recipient)) == KNOWN
    assert Recipient.parse(KNOWN[1]) == identity.recipient


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 20), st.integers(0, 7))
def test_no_bit_can_be_altered(place: int, bit: int) -> None:
    data = sealed(b"x" * 70_000)
    altered = bytearray(data)
    altered[place % len(data)] ^= 1 << bit
    with pytest.raises(MedForgeError):
        opened(bytes(altered))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 1 << 20))
def test_nothing_can_be_cut_off(size: int) -> None:
    data = sealed(b"x" * 2 * CHUNK)
    with pytest.raises(CorruptFile):
        opened(data[: -(size % (len(data) - 1) + 1)])


def test_chunks_cannot_change_places_or_be_appended() -> None:
    data = sealed(b"x" * CHUNK + b"y" * CHUNK)
    whole = CHUNK + 16
    head, one, two = data[: -2 * whole], data[-2 * whole : -whole], data[-whole:]
    for altered in (head + two + one, head + two, head + one, data + one):
        with pytest.raises(CorruptFile):
            opened(altered)


def test_another_passphrase_or_key_does_not_open_it() -> None:
    for data, opener in (
        (sealed(b"x", QUICK), Passphrase("wrong horse battery")),
        (sealed(b"x"), Identity.new()),
        (sealed(b"x"), QUICK),
        (sealed(b"x", QUICK), KEY),
    ):
        with pytest.raises(InvalidInput, match="does not open this backup; give the one that it was made with"):
            opened(data, opener)


@pytest.mark.parametrize("data", [b"", b"x", b"age-encryption.org/v2\n", b"age-encryption.org/v1\n-> scrypt\n\n--- \n"])
def test_what_is_no_backup_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(CorruptFile, match="this is no backup"):
        opened(data, QUICK)


def test_a_passphrase_that_would_take_all_memory_is_refused() -> None:
    data = sealed(b"x", QUICK).replace(b" 4\n", b" 40\n", 1)
    with pytest.raises(CorruptFile):
        opened(data, QUICK)


@given(st.binary(max_size=80))
def test_bech32_gives_back_what_it_was_given(data: bytes) -> None:
    text = encode("age", data)
    assert decode("age", text) == decode("age", text.upper()) == data


@pytest.mark.parametrize("text", ["", "age1", KNOWN[1][:-1] + "q", KNOWN[1].capitalize(), "age1" + "b" * 58, KNOWN[0]])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no age key"):
        Recipient.parse(text)


@pytest.mark.parametrize("text", ["", "# nothing", KNOWN[1], f"{KNOWN[0]}\n{KNOWN[0]}"])
def test_what_is_no_key_file_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="does not hold one line AGE-SECRET-KEY-1"):
        Identity.parse(text)
