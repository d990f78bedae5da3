"""What several branches of the same images spend together."""

from pathlib import Path

import pytest
from opacus.accountants import RDPAccountant

from medforge.client.earlier import find_earlier
from medforge.client.privacy.plan import PLAN_FILE, PrivacyPlan, make_plan
from medforge.client.privacy.spending import EarlierBranch, check_total, together
from medforge.client.privacy_settings import PrivacySettings
from medforge.client.recipes import TINY, with_privacy
from medforge.client.settings import Settings
from medforge.client.workspace import RECORD_FILE, Workspace
from medforge.errors import InvalidInput
from medforge.files import canonical_json, write_atomically
from medforge.privacy_facts import PrivateUnit


def plan(epsilon: float, unit: PrivateUnit = "patient", delta: float = 1e-5) -> PrivacyPlan:
    return make_plan(PrivacySettings(epsilon=epsilon, delta=delta), unit, (150, 90), TINY.train)


FIRST, SECOND = plan(8.0), plan(3.0)


def earlier(one: PrivacyPlan, name: str = "first") -> EarlierBranch:
    return EarlierBranch(workspace=name, plan=one)


def test_one_branch_spends_what_was_asked_for() -> None:
    assert together((), FIRST).model_dump() == FIRST.facts.model_dump() | {"branches": 1}


def test_the_sums_of_all_plans_are_composed_as_opacus_does_and_counts_and_deltas_add_up() -> None:
    accountant = RDPAccountant()
    accountant.history = [(m.noise, m.rate, m.steps) for one in (FIRST, SECOND) for m in one.mechanisms]
    total = together([earlier(FIRST)], SECOND)
    assert total.delta == pytest.approx(2e-5)
    assert total.epsilon == pytest.approx(accountant.get_epsilon(2e-5) + 0.05 * 11, rel=0.01)
    assert 8 < total.epsilon < 11
    assert str(total).endswith("δ = 2e-05, per patient, over 2 branches")


def test_a_total_that_is_allowed_stands_and_a_smaller_one_is_refused_with_the_remedy() -> None:
    total = together([earlier(FIRST)], SECOND)
    check_total(total, None)
    check_total(total, total.epsilon)
    with pytest.raises(InvalidInput, match=r"over 2 branches, where --epsilon-total allows 8; ask for a smaller"):
        check_total(total, 8.0)


def test_patients_and_images_have_no_total() -> None:
    with pytest.raises(InvalidInput, match=r"different units \(image, patient\) have no total"):
        together([earlier(plan(8.0, "image"))], SECOND)
    with pytest.raises(InvalidInput, match="add up to 1"):
        together([earlier(plan(8.0, delta=0.6))], plan(3.0, delta=0.6))


def spent_in(place: Path, one: PrivacyPlan | None, after: tuple[EarlierBranch, ...] = ()) -> Path:
    recipe = TINY if one is None else with_privacy(TINY, {"epsilon": one.settings.epsilon})
    workspace = Workspace(place)
    workspace.create(Settings(source="tissue:lung", recipe=recipe.model_dump(mode="json"), earlier=after))
    if one is not None:
        write_atomically(workspace.privacy / PLAN_FILE, canonical_json(one.model_dump(mode="json")))
        write_atomically(workspace.training / RECORD_FILE, b"{}")
    return place


def test_a_workspace_counts_with_what_it_was_begun_after_and_nothing_twice(tmp_path: Path) -> None:
    first = spent_in(tmp_path / "first", FIRST)
    second = spent_in(tmp_path / "second", SECOND, find_earlier([first]))
    found = find_earlier([first, second])
    assert [one.plan for one in found] == [FIRST, SECOND]
    spent = Workspace(second).spent
    assert spent == together([earlier(FIRST)], SECOND)


def test_a_workspace_without_differential_privacy_bounds_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="works without differential privacy, so that nothing bounds"):
        find_earlier([spent_in(tmp_path / "open", None)])
