"""Many random faults at once; `pytest tests/faults/test_soak.py --faults 200 --faults-seed 0` makes it a long soak."""

import json
from pathlib import Path

import pytest

from medforge.base_module import BaseModule
from tests.faults.database import TroubledDatabase
from tests.faults.soak import Soak

FEW = 6


@pytest.mark.timeout(4 * 3600)
def test_random_faults_lose_nothing_double_nothing_and_change_nothing(
    tmp_path: Path,
    tiny_base: BaseModule,
    tiny_spec: str,
    request: pytest.FixtureRequest,
    troubled_database: TroubledDatabase | None,
) -> None:
    faults = request.config.getoption("--faults", FEW)
    seed = request.config.getoption("--faults-seed", 0)
    soak = Soak(tmp_path, tiny_base, tiny_spec, faults, seed, troubled_database)
    summary = soak.run()
    assert summary.faults >= faults
    assert {kind.partition(":")[0] for kind in summary.by_kind} == set(soak.shares)
    said = json.dumps(summary.plain(), indent=2)
    print(said)
    report = request.config.getoption("--faults-report", None)
    if report is not None:
        Path(report).write_text(said + "\n")
