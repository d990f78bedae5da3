"""Whatever bytes a peer sends, a decoder gives a sound value or a MedForgeError with a sentence, in bounded memory.

In CI every target gets MEDFORGE_FUZZ_EXAMPLES (default 60) mutated artefacts; `MEDFORGE_FUZZ_EXAMPLES=20000` searches
longer, and `python -m benchmarks.fuzz` searches by coverage.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.bounds import bounded
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import TARGETS

EXAMPLES = int(os.environ.get("MEDFORGE_FUZZ_EXAMPLES", "60"))
FUZZING = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=set(Phase) - {Phase.explain}
)
ALL = pytest.mark.parametrize("name", TARGETS)


@ALL
def test_a_valid_artefact_is_admitted(name: str) -> None:
    target = TARGETS[name]
    admitted = [target.run(parts) for parts in target.seeds]
    # what says how a call failed is always an error
    assert all(admitted) is (name != "status")


@ALL
@FUZZING
@given(data=st.data())
def test_a_mutated_artefact_is_admitted_or_refused_with_a_sentence(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    seeds = target.seeds

    def pick(count: int) -> int:
        return data.draw(st.integers(0, count - 1))

    parts = seeds[pick(len(seeds))]
    for _ in range(1 + pick(4)):
        parts = mutate(parts, seeds, pick)
    with bounded():
        target.run(parts)


@ALL
@settings(FUZZING, max_examples=max(10, EXAMPLES // 4))
@given(data=st.data())
def test_random_bytes_are_refused_with_a_sentence(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    shape = target.seeds[0]
    with bounded():
        target.run(tuple(data.draw(st.binary(max_size=200)) for _ in shape))
