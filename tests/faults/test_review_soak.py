"""Random faults while sites review and some misbehave; `--faults 200 --faults-seed 0` makes it a long soak."""

import json
from pathlib import Path

import pytest

from medforge.base_module import BaseModule
from tests.faults.database import TroubledDatabase
from tests.faults.review_soak.sites import make_sites
from tests.faults.review_soak.soak import ReviewSoak
from tests.faults.review_soak.stage import POLICY

FEW = 6


@pytest.mark.timeout(4 * 3600)
def test_random_faults_and_misbehaving_contributors_lose_nothing_and_never_spoil_what_is_stable(
    tmp_path: Path,
    tiny_base: BaseModule,
    tiny_spec: str,
    request: pytest.FixtureRequest,
    troubled_database: TroubledDatabase | None,
) -> None:
    faults = request.config.getoption("--faults", FEW)
    sites = make_sites(tmp_path / "sites", tiny_spec)
    seed = request.config.getoption("--faults-seed", 0)
    soak = ReviewSoak(tmp_path, tiny_base, tiny_spec, sites, faults, seed, troubled_database)
    summary = soak.run()
    said = json.dumps(summary.plain(), indent=2)
    print(said)
    report = request.config.getoption("--faults-report", None)
    if report is not None:
        Path(report).write_text(said + "\n")
    assert summary.faults >= faults
    assert {kind.partition(":")[0] for kind in summary.by_kind} == set(soak.stage.shares)
    assert max(summary.stable_loss.values()) <= POLICY.review.margin
    # the attacks were real: what was never stable lost more
    assert max(summary.head_loss.values()) > POLICY.review.margin
