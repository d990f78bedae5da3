"""The tables of what was attacked name tests that there are."""

import ast
from pathlib import Path

import pytest

from tests.security.tables import FINDINGS, HELD

ROOT = Path(__file__).resolve().parents[2]
NAMED = sorted({test for table in (HELD, FINDINGS) for tests in table.values() for test in tests})


@pytest.mark.parametrize("test", NAMED)
def test_a_test_that_is_named_is_there(test: str) -> None:
    file, *names = test.split("::")
    body: list[ast.stmt] = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    for name in names:
        (found,) = (node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name)
        assert not any("skip" in ast.unparse(one) for one in found.decorator_list)
        body = found.body
    assert names[-1].startswith("test_")


def test_everything_has_a_test() -> None:
    assert set(FINDINGS) == {"flood", "salami", "sleeper", "capital letters", "squat", *map(str, range(1, 11))}
    assert len(HELD) == 11
    assert all(HELD.values())
    assert all(FINDINGS.values())
