"""Means over centres: only over those on which every model may be tested."""

import pytest

from medforge.simulation.benchmark.experiments.site_comparison import on_new_patients
from medforge.simulation.benchmark.presentation.rendering import renderer_of
from medforge.simulation.benchmark.results.rows import Row
from medforge.simulation.benchmark.results.sites import Growth, SitesResult, Traffic
from medforge.simulation.benchmark.settings import BenchmarkSettings
from medforge.simulation.centres import Centre
from tests.simulation.benchmark.making import provenance, row

NAMES = ("children", "adults", "copies")


def a_row(key: str, label: str, group: str, role: str, *accuracies: float) -> Row:
    made = row(key, label, group, {0: dict(zip(NAMES, accuracies, strict=True))})
    return made.model_copy(update={"role": role})


def result(*same_patients: str) -> SitesResult:
    """Make a result of three centres, of which some share patients."""
    centres = tuple(Centre(name=name, source=f"tissue:{name}", task="chest") for name in NAMES)
    settings = BenchmarkSettings(centres=centres, same_patients=(same_patients,) if same_patients else ())
    rows = (
        a_row("lda", "LDA", "class statistics, no plugin", "head", 0.5, 0.75, 0.5),
        a_row("alone/children", "children alone", "one centre alone", "centre", 1.0, 0.25, 1.0),
        a_row("alone/adults", "adults alone", "one centre alone", "centre", 0.25, 0.5, 0.25),
        a_row("routed", "Routed", "ours and the paper's", "merged", 0.75, 0.5, 1.0),
        a_row("fedavg", "FedAvg", "images or rounds together", "together", 0.5, 0.625, 0.5),
    )
    return SitesResult(
        title="One task at several centres",
        task="chest",
        rows=tuple(on_new_patients(one, settings) for one in rows),
        growth=(Growth(key="routed", label="Routed", seeds={"0": (dict.fromkeys(NAMES, 0.5),) * 3}),),
        traffic=(
            Traffic(key="branches", label="branches", rounds=1, bytes=2e6),
            Traffic(key="fedavg", label="FedAvg", rounds=8, bytes=3.2e7),
        ),
        notes=(),
        provenance=provenance(NAMES, (0,)),
    )


def test_without_common_patients_a_mean_is_over_all_centres() -> None:
    found = result()
    assert found.compared == NAMES
    assert found.best_alone.key == "alone/children"
    routed = found.row("routed")
    assert routed is not None
    assert found.mean(routed).acc.mean == pytest.approx(0.75)


def test_what_has_seen_patients_elsewhere_is_not_tested_on_them() -> None:
    found = result("children", "copies")
    assert found.compared == ("adults",)
    routed, children = found.row("routed"), found.row("alone/children")
    assert routed is not None
    assert children is not None
    assert found.cell(routed, "children") is None
    assert found.cell(children, "copies") is None
    assert found.cell(children, "children") is not None
    assert found.mean(routed).acc.mean == 0.5
    assert found.best_alone.key == "alone/adults"


def test_the_verdict_compares_over_the_same_centres_and_untested_cells_are_dashes() -> None:
    renderer = renderer_of(result("children", "copies"))
    assert "the best centre alone, adults, has .500" in renderer.verdict()
    assert "2.0 MB sent once; FedAvg sends 32.0 MB in 8 rounds" in renderer.verdict()
    line = next(line for s in renderer.sheets()[0].sections for line in s.lines if line[0] == "Routed")
    assert line == ("Routed", "–", ".500\n.531", "–", ".500\n.531", "+0.0")
    assert "sites-matrix.png" in renderer.pictures()
