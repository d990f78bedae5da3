"""The policy of a forge: kept in its directory, changed by what a maintainer types."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.forge.policy import POLICY_FILE, Admission, Limits, Policy, change, load_policy
from medforge.errors import CorruptFile, InvalidInput, OtherVersion


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load_policy(tmp_path) == Policy()


def test_a_saved_policy_is_read_back_whole(tmp_path: Path) -> None:
    policy = Policy(limits=Limits(branch=5, partial_hours=0.5), admission=Admission(behaviour=False, margin=0.25))
    policy.save(tmp_path)
    assert load_policy(tmp_path) == policy


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ('{"limits":{"branch":0}}', "limits.branch"),
        ('{"admission":{"margin":2}}', "admission.margin"),
        ("{", "content"),
    ],
)
def test_a_damaged_policy_is_named_with_its_setting(tmp_path: Path, content: str, field: str) -> None:
    (tmp_path / POLICY_FILE).write_text(content)
    with pytest.raises(CorruptFile, match=rf"policy\.json is not a forge's policy \({field}: .*delete it for the def"):
        load_policy(tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            '{"limits":{"brunch":1}}',
            r"policy\.json sets limits\.brunch, which medforge .* does not know; use the version",
        ),
        ('{"format":2}', r"policy\.json has format 2, and this is medforge .*, which reads format 1; use the version"),
    ],
)
def test_a_policy_of_another_version_is_refused_by_name(tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / POLICY_FILE).write_text(content)
    with pytest.raises(OtherVersion, match=sentence):
        load_policy(tmp_path)


def test_changes_are_applied_in_order_and_leave_the_rest() -> None:
    changed = change(Policy(), ["limits.rank=8", "admission.behaviour=false", "limits.rank=9", "admission.margin=0.2"])
    assert changed.limits == Limits(rank=9)
    assert changed.admission == Admission(behaviour=False, margin=0.2)
    assert change(changed, []) == changed


@given(st.integers(1, 1023), st.sampled_from(["", "B", "KiB", "MiB", "GiB", "TiB"]), st.sampled_from(["", " "]))
def test_sizes_may_have_units(number: int, unit: str, space: str) -> None:
    factor = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}[unit]
    assert change(Policy(), [f"limits.branch={number}{space}{unit}"]).limits.branch == number * factor


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("limits.branch=2GB", r"limits\.branch cannot be '2GB'; write a whole number of bytes, KiB, .* example 512MiB"),
        ("limits.branch=-1", r"limits\.branch cannot be '-1'"),
        ("limits.rank=0", r"limits\.rank cannot be '0'; input should be greater than or equal to 1"),
        ("limits.classes=two", r"limits\.classes cannot be 'two'"),
        ("limits.messages_per_second=0", r"limits\.messages_per_second cannot be '0'"),
        ("admission.behaviour=maybe", r"admission\.behaviour cannot be 'maybe'"),
        ("admission.significance=0.9", r"admission\.significance cannot be '0\.9'"),
        ("admission.margin=none", r"admission\.margin cannot be None"),
        ("limits.brunch=1", r"'limits\.brunch=1' changes no setting of the policy; write it as limits\.NAME=VALUE"),
        ("limits.branch", "changes no setting of the policy"),
        ("limits=1", "changes no setting of the policy"),
        ("format=2", "changes no setting of the policy"),
        ("limits.rank.x=1", "changes no setting of the policy"),
        ("", "changes no setting of the policy"),
    ],
)
def test_a_wrong_change_gets_one_sentence(typed: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence) as raised:
        change(Policy(), [typed])
    assert "\n" not in str(raised.value)
