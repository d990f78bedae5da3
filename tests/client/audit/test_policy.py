from pathlib import Path

import pytest

from medforge.client.audit.policy import SitePolicy, read_policy
from medforge.client.audit.record import AttackResult, Closeness, Comparisons, Measurements
from medforge.client.audit.verdict import judge, near_copies
from medforge.errors import InvalidInput


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("near_copies = 2\nplugin_auc = 0.8\n")
    assert read_policy(tmp_path / "site.toml") == SitePolicy(near_copies=2, plugin_auc=0.8)
    (tmp_path / "site.toml").write_text("")
    assert read_policy(tmp_path / "site.toml") == SitePolicy()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("plugin_auk = 0.8", "has an unknown key 'plugin_auk'; it knows near_copies, layout_distance, .*plugin_tpr"),
        ("plugin_auc = 1.8", "says plugin_auc = 1.8, which cannot be .*less than or equal to 1"),
        ("near_copies = -1", "says near_copies = -1, which cannot be"),
        ("near_copies = true", "says near_copies = True, which cannot be"),
        ('plugin_auc = "high"', "says plugin_auc = 'high', which cannot be"),
        ("plugin_auc 0.8", "is not TOML .*; mend it"),
    ],
)
def test_a_wrong_file_is_said_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(InvalidInput, match=sentence) as caught:
        read_policy(tmp_path / "site.toml")
    assert "site.toml" in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read the site's policy at .*none.toml"):
        read_policy(tmp_path / "none.toml")


def closeness(distance: float) -> Closeness:
    return Closeness(distance=distance, relative=distance, quantile=0.5, nearest=0, name="a")


def measured(layout: list[float], features: list[float], others: int = 200, **attack: float) -> Measurements:
    figures = {"auc": 0.5, "low": 0.45, "high": 0.55, "tpr": 0.01} | attack
    return Measurements(
        members=500,
        others=others,
        groups=None,
        comparisons={
            "layout": Comparisons(typical=1.0, references=500, images=tuple(map(closeness, layout))),
            "features": Comparisons(typical=0.4, references=500, images=tuple(map(closeness, features))),
        },
        attacks=tuple(
            AttackResult(name="loss", target=target, **figures)
            for target in ("distilled", "plugin")  # type: ignore[arg-type]
        ),
    )


def test_an_image_is_a_near_copy_by_either_measure() -> None:
    found = measured([0.71, 0.69, 1.0, 1.0], [0.4, 0.4, 0.21, 0.19])
    assert near_copies(found, SitePolicy()) == (1, 3)
    assert near_copies(found, SitePolicy(layout_distance=0.72, feature_distance=0.48)) == (0, 1, 3)
    assert judge(found, SitePolicy())[0].passed is False
    assert judge(found, SitePolicy(near_copies=2))[0].passed is True
    assert (
        "2 of 4 distilled images are near copies of a real one (at most 0 may be)"
        in judge(found, SitePolicy())[0].sentence
    )


def test_a_copy_is_a_copy_where_real_images_are_copies_of_each_other() -> None:
    found = measured([0.04, 0.06], [0.3, 0.3])
    doubled = found.comparisons["layout"].model_copy(update={"typical": 0.0})
    found = found.model_copy(update={"comparisons": {**found.comparisons, "layout": doubled}})
    assert near_copies(found, SitePolicy()) == (0,)


@pytest.mark.parametrize(
    ("auc", "low", "passed"), [(0.69, 0.6, True), (0.71, 0.6, False), (0.71, 0.49, True), (0.99, 0.51, False)]
)
def test_an_area_fails_over_the_limit_unless_chance_explains_it(auc: float, low: float, passed: bool) -> None:
    checks = {c.name: c for c in judge(measured([1.0], [1.0], auc=auc, low=low), SitePolicy(distilled_auc=1))}
    assert checks["plugin, attacked by loss: AUC"].passed is passed
    assert checks["distilled dataset, attacked by loss: AUC"].passed is True


def test_a_rate_is_judged_only_where_one_per_cent_can_be_told() -> None:
    policy = SitePolicy(plugin_tpr=0.2, distilled_tpr=0.05)
    for others, verdicts in ((100, [False, True]), (99, [None, None])):
        rates = [c for c in judge(measured([1.0], [1.0], others, tpr=0.1), policy) if "rate" in c.name]
        assert [check.passed for check in rates] == verdicts
    assert "not judged with 99 non-members" in rates[0].sentence
