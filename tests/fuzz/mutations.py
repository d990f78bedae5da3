"""Structure-aware mutations of valid artefacts, for any source of choices: Hypothesis, which shrinks, or libFuzzer.

An artefact is a tuple of parts (bytes): the JSON of a header, the data behind it, another file, and so on. A target
puts the parts together as its format does, so that a mutated header still has the right length in front of it, and what
is wrong lies deeper than the first check.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

Parts = tuple[bytes, ...]
Pick = Callable[[int], int]
"""Choose one of n things: an integer in 0…n-1; 0 is the plainest choice."""

# Written into JSON as they stand: no encoder would write most of them.
FRAGMENTS = (
    "null",
    "0",
    "-1",
    '""',
    "[]",
    "{}",
    "true",
    "1.5",
    '"text"',
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-0.0",
    "1e-400",
    str(2**31),
    str(2**63 - 1),
    str(2**63),
    str(2**64 - 1),
    str(2**64),
    str(2**1000),
    "9" * 5000,
    "[0,0]",
    '["images","labels"]',
    '{"a":1,"a":2}',
    '"\\ud800"',
    '"\\u0000"',
    '"\\u001b[2J"',
    '"../../escape"',
    '"' + "ä" * 5000 + '"',
    "[" * 100_000,
    "[" * 900 + "]" * 900,
    '{"a":' * 100_000,
    "[" + "0," * 100_000 + "0]",
    "[" + '"x",' * 100_000 + '"x"]',
    '"F64"',
    '"F32"',
    '"F16"',
    '"BF16"',
    '"I64"',
    '"BOOL"',
    '"C64"',
    '"F4"',
    '"F8_E4M3"',
    '"F8_E8M0"',
    '"U64"',
    "[0]",
    "[1]",
    "[1152921504606846976,0]",
    "[0,4611686018427387904,8]",
    "[9223372036854775808,0]",
    "[" + ",".join("1" * 200) + "]",
    "[0,0,0,0,0]",
    '"05"',
    "[0.5,4.5]",
    "[-1,-4]",
    '"' + "0" * 64 + '"',
    '"[[[[[[[]]]]]]]"',
    '"{\\"prompts\\":[NaN,[],{}]}"',
    '"' + "[" * 100_000 + '"',
)
_NAMES = ("__metadata__", "images", "labels", "surprise", "", "\x1b[31m", "x" * 5000, "\u202egpj.", "a.lora_A.weight")
_HOLE = "@@hole@@"
_LARGEST = 1 << 20


def mutate(parts: Parts, others: Sequence[Parts], pick: Pick) -> Parts:
    """Change one part once; `others` are artefacts of the same target that pieces may be taken from."""
    which = pick(len(parts))
    # more often inside the structure than across it
    change = (_edit_json, _edit_json, _edit_json, _edit_bytes, _splice, _swap)[pick(6)]
    mutated = change(parts, which, others, pick)
    return tuple(part[:_LARGEST] for part in mutated)


def _edit_json(parts: Parts, which: int, others: Sequence[Parts], pick: Pick) -> Parts:
    try:
        tree = json.loads(parts[which])
    except (ValueError, RecursionError):
        return _edit_bytes(parts, which, others, pick)
    holder: dict[str, Any] = {"": tree}
    container, key = _place(holder, pick)
    operation = pick(6)
    fragment = _HOLE
    if operation <= 2 or container is holder:
        container[key] = _HOLE
    elif operation == 3:
        del container[key]
    elif isinstance(container, dict):
        fragment = json.dumps(container[key])
        name = _NAMES[pick(len(_NAMES))] if pick(2) else f"{key}{pick(10)}"
        if operation == 4:
            del container[key]
        container[name] = _HOLE
    else:
        fragment = json.dumps(container[key])
        container.insert(pick(len(container) + 1), _HOLE)
    if fragment == _HOLE:
        fragment = FRAGMENTS[pick(len(FRAGMENTS))]
    text = json.dumps(holder[""], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return _with(parts, which, text.replace(f'"{_HOLE}"', fragment).encode(errors="surrogatepass"))


def _place(holder: dict[str, Any], pick: Pick) -> tuple[Any, Any]:
    """Walk from the root to some place in the tree; give the container and the key of that place in it."""
    container: Any = holder
    key: Any = ""
    while isinstance(container[key], dict | list) and container[key] and pick(8):
        container = container[key]
        keys = sorted(container) if isinstance(container, dict) else range(len(container))
        key = keys[pick(len(keys))]
    return container, key


def _edit_bytes(parts: Parts, which: int, others: Sequence[Parts], pick: Pick) -> Parts:
    data = parts[which]
    at = pick(len(data) + 1)
    match pick(5):
        case 0:
            changed = data[:at]
        case 1:
            changed = data[:at] + bytes([pick(256)]) + data[at + 1 :]
        case 2:
            changed = data[:at] + (b"\0", b"\xff")[pick(2)] * (1 << pick(12)) + data[at:]
        case 3:
            changed = data[:at] + pick(1 << 64).to_bytes(8, "little") + data[at + 8 :]
        case _:
            changed = data[:at] + data[at + 1 + pick(len(data) + 1) :]
    return _with(parts, which, changed)


def _splice(parts: Parts, which: int, others: Sequence[Parts], pick: Pick) -> Parts:
    pieces = others[pick(len(others))]
    other = pieces[which % len(pieces)]
    cut = pick(min(len(parts[which]), len(other)) + 1)
    return _with(parts, which, parts[which][:cut] + other[cut:])


def _swap(parts: Parts, which: int, others: Sequence[Parts], pick: Pick) -> Parts:
    other = others[pick(len(others))]
    return _with(parts, which, other[pick(len(other))])


def _with(parts: Parts, which: int, part: bytes) -> Parts:
    return (*parts[:which], part, *parts[which + 1 :])
