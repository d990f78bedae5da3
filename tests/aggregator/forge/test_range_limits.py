"""Every number of a manifest and of a policy, at its bounds and beyond: one clean refusal, or all goes on."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.aggregator.forge.admission import check_counts, check_manifest
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.headers import check_headers
from medforge.aggregator.forge.policy import Policy, load_policy
from medforge.aggregator.main_branch.examination import Examination
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.reviewing.decision import decide
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.folding import fold_round
from medforge.aggregator.merge.method import FoldResult
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import InvalidBranch, MedForgeError
from medforge.manifest import LEVELS, Manifest
from medforge.proto.errors import OverLimit
from medforge.site_facts import SiteFacts
from tests.aggregator.centres import branch_of, honest, patterns, trained_on
from tests.aggregator.main_branch.reviewing.making import commit, review, state
from tests.limits import TOO_LONG, numbers_of, placed

MANIFEST = list(numbers_of(Manifest))
POLICY = list(numbers_of(Policy))
SETTINGS = choose_settings()
Made = TypeVar("Made")
# of which more is made than a check of the manifest
FOLLOWED = ("training_images", "class_counts", "distances", "temperature", "validation", "plugin")


@cache
def branch(base: BaseModule) -> Branch:
    return honest(base, "a")


def spelled(document: object) -> bytes:
    """Spell a document as canonical JSON does, numbers included that it would not write."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sentence_or(action: Callable[[], Made]) -> Made | None:
    """Return what an action gives, None where it is refused in one sentence; whatever else it raises fails the test."""
    try:
        return action()
    except MedForgeError as error:
        refusal = str(error)
    assert refusal
    assert "\n" not in refusal
    return None


def admitted_branch(base: BaseModule, document: dict[str, Any], files: dict[str, Path]) -> Branch:
    """Return a branch with this manifest, as admission checks it."""
    manifest = Manifest.parse(spelled(document))
    check_manifest(manifest, Policy(), 0)
    check_headers(manifest, files, base, Policy().limits)
    changed = Branch(manifest, branch(base).plugin, branch(base).distilled)
    changed.check(base)
    check_counts(changed)
    return changed


def with_number(base: BaseModule, path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """Return a manifest's document in which one number is another; lists have the length that is due."""
    document = placed(branch(base).manifest.model_dump(mode="json"), path, value)
    if path[0] == "class_counts":
        document["class_counts"] = [value, 1]
    if path[0] == "distances":
        document["distances"] = [value] * len(LEVELS)
    if path[0] == "preprocessing":
        whole = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
        document["preprocessing"] = placed(whole, path[1:], value)
    return document


def test_every_number_is_found() -> None:
    found = {path[0] for path, _ in MANIFEST}
    assert {"ipc", "image_size", "training_images", "seed", "temperature", "leaks", "class_counts"} <= found
    assert {("plugin", "alpha"), ("plugin", "rank"), ("plugin", "ranks", "visual.trunk")} <= {p for p, _ in MANIFEST}
    assert {("limits", "branch"), ("admission", "noise"), ("review", "lone")} <= {path for path, _ in POLICY}
    assert dict(MANIFEST)[("temperature",)][:2] == (0.01, 0.01 - 1e-9)


@pytest.mark.parametrize("path", [path for path, _ in MANIFEST], ids=lambda path: ".".join(map(str, path)))
def test_a_manifests_number_is_refused_in_a_sentence_or_bears_all_that_follows(
    tiny_base: BaseModule, path: tuple[str | int, ...], tmp_path: Path
) -> None:
    branch(tiny_base).save(tmp_path)
    files = {name: tmp_path / name for name in branch(tiny_base).manifest.files}
    admitted = 0
    for value in dict.fromkeys(map(repr, dict(MANIFEST)[path])):
        number = eval(value, {"inf": float("inf"), "nan": float("nan")})
        changed = sentence_or(partial(admitted_branch, tiny_base, with_number(tiny_base, path, number), files))
        if changed is None:
            continue
        admitted += 1
        if path[0] in FOLLOWED:
            survives(tiny_base, changed)
    assert admitted or path[0] in ("plugin", "ipc", "image_size", "files", "preprocessing", "privacy", "class_counts")


@cache
def first(base: BaseModule) -> tuple[ProbabilityCache, ArrivedBranch, FoldResult]:
    """Return a main branch of one honest branch; what plugins say of images is kept between tests."""
    kept, arrived = ProbabilityCache(base, None), ArrivedBranch.of(1, honest(base, "a", "other", seed=1))
    return kept, arrived, fold_round(base, SETTINGS, [arrived], None, kept)


def survives(base: BaseModule, changed: Branch) -> None:
    """Examine and fold a branch behind another; it may be refused in a sentence, and what is merged is finite."""
    kept, earlier, before = first(base)
    arrived = [earlier, ArrivedBranch.of(2, changed)]
    examination = Examination(base, kept, Policy().admission)
    sentence_or(lambda: examination.arrival(arrived))
    folded = sentence_or(lambda: fold_round(base, SETTINGS, arrived, before.head, kept))
    if folded is None:
        return
    examination.merge(arrived, before.head, before.metrics, folded)
    outputs = folded.item.logits(base, changed.distilled.images, changed.distilled.prompts)
    assert bool(outputs.isfinite().all())


@given(
    chosen=st.lists(st.sampled_from(MANIFEST).flatmap(lambda one: st.tuples(st.just(one[0]), st.sampled_from(one[1])))),
    more=st.one_of(st.integers(), st.floats()),
)
@settings(deadline=None, max_examples=50)
def test_any_numbers_together_are_a_manifest_or_a_sentence(
    tiny_base: BaseModule, chosen: list[tuple[tuple[str | int, ...], Any]], more: float
) -> None:
    document = branch(tiny_base).manifest.model_dump(mode="json")
    for path, value in [*chosen, *((path, more) for path, _ in chosen[:1])]:
        document = placed(document, path, value)
    parsed = sentence_or(lambda: Manifest.parse(spelled(document)))
    assert parsed is None or parsed.to_bytes() == spelled(document)


def test_a_number_of_five_thousand_digits_is_refused(tiny_base: BaseModule) -> None:
    text = spelled(placed(branch(tiny_base).manifest.model_dump(mode="json"), ("ipc",), "LONG"))
    with pytest.raises(InvalidBranch):
        Manifest.parse(text.replace(b'"LONG"', b"9" * 5000))


@pytest.mark.parametrize("classes", [1, 2])
def test_one_image_a_class_will_do_and_one_class_will_not(tiny_base: BaseModule, classes: int) -> None:
    data = patterns(tiny_base, "one", ipc=1, classes=classes)
    plugin = trained_on(tiny_base, data)
    if classes == 1:
        with pytest.raises(InvalidBranch, match="prompts is wrong"):
            branch_of(tiny_base, plugin, data, "one")
    else:
        survives(tiny_base, branch_of(tiny_base, plugin, data, "one"))


def test_names_and_prompts_at_their_longest_are_folded(tiny_base: BaseModule, tmp_path: Path) -> None:
    limits = Policy().limits
    data = patterns(tiny_base, "a", seed=3)
    prompts = tuple(f"{word} ".ljust(limits.prompt_length, word[0]) for word in ("benign", "malignant"))
    data = replace(data, prompts=prompts)
    made = branch_of(tiny_base, trained_on(tiny_base, data), data, "t" * 100, "c" * 100)
    facts = SiteFacts(classes=("k" * 100, "l" * 100), modality="m" * 100, temperature=100.0, class_counts=(9, 1))
    main = MainBranch(Forge.establish(tmp_path, tiny_base, SETTINGS), tiny_base)
    main.forge.admit(made.with_facts(facts, tiny_base), tiny_base)
    assert [commit.task for commit in main.fold_waiting()] == ["t" * 100]
    longer = replace(data, prompts=(prompts[0] + "x", prompts[1]))
    with pytest.raises(OverLimit, match="401 characters"):
        main.forge.admit(branch_of(tiny_base, made.plugin, longer, "u"), tiny_base)
    main.forge.close()


@pytest.mark.parametrize("path", [path for path, _ in POLICY], ids=lambda path: ".".join(map(str, path)))
def test_a_policys_number_is_refused_in_a_sentence_or_bears_all_that_follows(
    tiny_base: BaseModule, path: tuple[str | int, ...], tmp_path: Path
) -> None:
    kept, earlier, _ = first(tiny_base)
    arrived = [earlier, ArrivedBranch.of(2, branch(tiny_base))]
    document = Policy().model_dump(mode="json")
    admitted = 0
    for value in (*dict(POLICY)[path], TOO_LONG):
        if value is TOO_LONG:
            text = spelled(placed(document, path, "TOO LONG")).replace(b'"TOO LONG"', b"9" * 5000)
        else:
            text = spelled(placed(document, path, value))
        (tmp_path / "policy.json").write_bytes(text)
        policy = sentence_or(lambda: load_policy(tmp_path))
        if policy is None:
            continue
        admitted += 1
        policy.save(tmp_path)
        assert load_policy(tmp_path) == policy
        examination = Examination(tiny_base, kept, policy.admission)
        sentence_or(partial(check_manifest, branch(tiny_base).manifest, policy, 0))
        sentence_or(partial(examination.arrival, arrived))
        if path[0] == "review":
            decide(reviewed(), policy.review, 1e9)
    assert admitted


def reviewed() -> Any:
    links, owners = (
        [(1, 2, 3), (1, 2, 3, 4)],
        {1: ("ann", "lung"), 2: ("bob", "lung"), 3: ("cat", "lung"), 4: ("d", "x")},
    )
    given = [review("ann", commit(2), lost=30), review("bob", commit(2), taken=30), review("cat", commit(2))]
    return state(links, owners, given, {"lung": ["ann", "bob", "cat"]})
