import itertools
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from medforge.aggregator.coefficients.gated import choices, chosen_shares
from medforge.aggregator.coefficients.joint import joint_layers, joint_outputs
from medforge.aggregator.coefficients.objective import ScoredImages, image_shares, mean_loss, penalty, task_scores
from medforge.aggregator.coefficients.search import search_weights
from medforge.aggregator.coefficients.sequential import compose, normalise, search_pair
from medforge.aggregator.coefficients.simplex import FLOOR, duality_gap, simplex_weights
from medforge.aggregator.merge import MethodSettings, choose_settings, names
from medforge.aggregator.merge.loading import method_of
from medforge.errors import InvalidInput
from medforge.files import canonical_json
from medforge.prototype_gate import PrototypeGate
from medforge.seeds import numpy_generator

SEQUENTIAL = choose_settings(method="mixture", coefficients="sequential")
LAYER_JOINT = choose_settings(method="mixture", level="layer", coefficients="joint")


def problem(seed: int, images: int, plugins: int) -> tuple[np.ndarray, np.ndarray]:
    random = numpy_generator(seed, "problem")
    return random.beta(0.3, 0.3, (images, plugins)), random.random(images) + 0.1


def objective(weights: np.ndarray, likelihoods: np.ndarray, shares: np.ndarray) -> float:
    return float(-(shares / shares.sum()) @ np.log(np.maximum(likelihoods, FLOOR) @ weights))


def test_the_objective_is_the_mean_over_tasks_of_cross_entropy_and_pools_a_tasks_datasets() -> None:
    random = torch.Generator().manual_seed(0)
    logits = [torch.randn(n, c, generator=random) for n, c in ((4, 2), (6, 3), (2, 2))]
    labels = [torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([1, 1])]
    parts = [
        ScoredImages(task, x.log_softmax(1), y) for task, x, y in zip(("a", "b", "a"), logits, labels, strict=True)
    ]
    scores = task_scores(parts)
    a = F.cross_entropy(torch.cat([logits[0], logits[2]]), torch.cat([labels[0], labels[2]]))
    b = F.cross_entropy(logits[1], labels[1])
    assert scores["a"].loss == pytest.approx(float(a), abs=1e-6)
    assert scores["a"].acc == pytest.approx(
        float((torch.cat([logits[0], logits[2]]).argmax(1) == torch.cat([labels[0], labels[2]])).float().mean())
    )
    assert mean_loss(scores) == pytest.approx(float(a + b) / 2, abs=1e-6)
    shares = image_shares(["a", "b", "a"], [4, 6, 2])
    by_shares = sum(share * float(part.losses().sum()) for share, part in zip(shares, parts, strict=True))
    assert by_shares == pytest.approx(mean_loss(scores), abs=1e-12)
    assert sum(s * n for s, n in zip(shares, (4, 6, 2), strict=True)) == pytest.approx(1)


def test_the_penalty_is_the_mean_of_absolute_weights() -> None:
    assert penalty((0.5, -1.5), 0.05) == pytest.approx(0.05)


def test_the_sequential_search_evaluates_as_the_reference_does() -> None:
    seen: list[tuple[float, float]] = []

    def loss(w: float, w_arriving: float) -> float:
        seen.append((w, w_arriving))
        return (w - 0.3) ** 2 + (w_arriving - 0.9) ** 2 + penalty((w, w_arriving), 0.05)

    found = search_pair(loss, SEQUENTIAL, seed=1)
    assert seen[:3] == [(0.5, 0.5), (1.0, 0.5), (0.5, 1.0)]
    assert len(seen) == 40
    assert all(abs(value) <= 1.5 for pair in seen for value in pair)
    # the penalty 0.05 · (|w| + |w′|) / 2 moves each minimum of (w − m)² by 0.0125
    assert found == pytest.approx((0.2875, 0.8875), abs=1e-3)
    assert search_pair(loss, SEQUENTIAL, seed=1) == found


def test_the_search_of_many_weights_starts_as_lorahub_does_and_finds_a_minimum() -> None:
    seen: list[list[float]] = []
    target = (0.4, -0.3, 0.8)

    def loss(weights: list[float]) -> float:
        seen.append(weights)
        return sum((w - m) ** 2 for w, m in zip(weights, target, strict=True))

    found = search_weights(loss, 3, choose_settings(method="lorahub"), seed=1)
    assert seen[:2] == [[0, 0, 0], [0.5, 0, 0]]
    assert len(seen) == 40
    assert all(abs(weight) <= 1.5 for weights in seen for weight in weights)
    assert found == pytest.approx(target, abs=1e-2)
    assert search_weights(lambda weights: math.nan, 3, SEQUENTIAL, seed=0) is None


def test_a_search_where_every_candidate_overflows_keeps_the_main_branch() -> None:
    assert search_pair(lambda w, v: math.nan, SEQUENTIAL, seed=0) == (1.0, 0.0)


def test_a_search_walks_round_candidates_that_overflow() -> None:
    found = search_pair(lambda w, v: math.inf if v > 0.6 else (w - 0.5) ** 2 + v**2, SEQUENTIAL, seed=0)
    assert found[1] < 0.4


def test_a_normalised_pair_sums_to_one() -> None:
    assert normalise((0.6, 0.2)) == pytest.approx((0.75, 0.25))
    assert normalise((1.5, -0.5)) == (1.5, -0.5)
    assert normalise((0.5, -0.5)) is None
    assert normalise((-1.0, 0.5)) is None


@given(st.lists(st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5)), min_size=1, max_size=6))
def test_composed_coefficients_are_the_product_formula(pairs: list[tuple[float, float]]) -> None:
    coefficients: dict[str, float] = {}
    for index, pair in enumerate(pairs):
        coefficients = compose(coefficients, str(index), pair)
    for k, (_, arriving) in enumerate(pairs):
        assert coefficients[str(k)] == pytest.approx(arriving * math.prod(w for w, _ in pairs[k + 1 :]), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_convex_search_beats_the_best_of_a_fine_grid_of_two(seed: int) -> None:
    likelihoods, shares = problem(seed, 40, 2)
    found = simplex_weights(likelihoods, shares)
    grid = np.linspace(0, 1, 20_001)
    values = [objective(np.array([w, 1 - w]), likelihoods, shares) for w in grid]
    assert objective(found, likelihoods, shares) <= min(values) + 1e-9
    assert found[0] == pytest.approx(grid[int(np.argmin(values))], abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_convex_search_beats_the_best_of_a_fine_grid_of_three(seed: int) -> None:
    likelihoods, shares = problem(seed, 60, 3)
    found = simplex_weights(likelihoods, shares)
    steps = 200
    points = np.array([(a, b, steps - a - b) for a in range(steps + 1) for b in range(steps + 1 - a)], dtype=np.float64)
    mixtures = np.maximum(likelihoods, FLOOR) @ (points / steps).T
    values = -(shares / shares.sum()) @ np.log(mixtures)
    assert objective(found, likelihoods, shares) <= values.min() + 1e-9
    assert np.abs(found - points[values.argmin()] / steps).max() < 0.02


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), images=st.integers(1, 60), plugins=st.integers(1, 7), data=st.data())
def test_the_convex_search_is_optimal_and_blind_to_order(
    seed: int, images: int, plugins: int, data: st.DataObject
) -> None:
    likelihoods, shares = problem(seed, images, plugins)
    if plugins > 2 and seed % 3 == 0:
        likelihoods[:, 1] = likelihoods[:, 0]
    order = data.draw(st.permutations(range(plugins)))
    found = simplex_weights(likelihoods, shares)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
    assert duality_gap(found, likelihoods, shares) < 1e-7
    np.testing.assert_allclose(simplex_weights(likelihoods[:, order], shares), found[order], atol=1e-6)


def test_the_duality_gap_shows_a_point_that_is_not_optimal() -> None:
    likelihoods, shares = np.array([[0.9, 0.1], [0.8, 0.2]]), np.ones(2)
    assert duality_gap(np.array([0.5, 0.5]), likelihoods, shares) > 0.1
    np.testing.assert_allclose(simplex_weights(likelihoods, shares), [1, 0], atol=1e-9)


def test_plugins_that_agree_share_a_weight() -> None:
    likelihoods, shares = problem(0, 30, 2)
    tripled = np.stack([likelihoods[:, 0], likelihoods[:, 1], likelihoods[:, 0]], axis=1)
    found = simplex_weights(tripled, shares)
    assert found[0] == pytest.approx(found[2], abs=1e-6)
    assert found[0] + found[2] == pytest.approx(simplex_weights(likelihoods, shares)[0], abs=1e-5)


def test_plugins_that_rule_every_label_out_still_give_weights() -> None:
    found = simplex_weights(np.zeros((3, 2)), np.ones(3))
    np.testing.assert_allclose(found, [0.5, 0.5])


def test_joint_weights_of_outputs_minimise_the_mean_over_tasks() -> None:
    random = torch.Generator().manual_seed(3)
    sizes, classes, tasks = (8, 30), (2, 3), ("small", "large")
    probabilities = [
        [torch.randn(n, c, generator=random).mul(2).softmax(1) for _ in range(2)]
        for n, c in zip(sizes, classes, strict=True)
    ]
    labels = [torch.randint(c, (n,), generator=random) for n, c in zip(sizes, classes, strict=True)]
    found = joint_outputs(probabilities, labels, tasks)

    def written_out(w: float) -> float:
        losses = []
        for on_dataset, label in zip(probabilities, labels, strict=True):
            mixed = w * on_dataset[0] + (1 - w) * on_dataset[1]
            losses.append(-sum(math.log(mixed[i, y]) for i, y in enumerate(label.tolist())) / len(label))
        return sum(losses) / 2

    best = min(np.linspace(0, 1, 2001), key=written_out)
    assert found[0] == pytest.approx(float(best), abs=1e-3)


def test_the_layer_search_finds_the_minimum_with_its_penalty_and_is_blind_to_order() -> None:
    target = np.array([0.9, -0.4, 0.2])

    def searched(order: tuple[int, ...]) -> list[float]:
        wanted = target[list(order)]
        return joint_layers(
            lambda c: float(((np.array(c) - wanted) ** 2).sum()),
            lambda c: (float(((np.array(c) - wanted) ** 2).sum()), (2 * (np.array(c) - wanted)).tolist()),
            3,
            LAYER_JOINT,
        )

    # l1 · mean|c| moves each minimum of (c − m)² towards zero by 0.05 / 3 / 2
    expected = target - np.sign(target) * 0.05 / 6
    for order in itertools.permutations(range(3)):
        np.testing.assert_allclose(searched(order), expected[list(order)], atol=1e-5)


def test_the_layer_search_stays_within_bounds_and_survives_overflow() -> None:
    def loss(c: list[float]) -> float:
        return math.nan if max(map(abs, c)) > 0.9 else -sum(c)

    found = joint_layers(loss, lambda c: (loss(c), [-1.0] * len(c)), 2, LAYER_JOINT)
    assert found[0] <= 0.9
    unbounded = joint_layers(lambda c: -sum(c), lambda c: (-sum(c), [-1.0] * len(c)), 2, LAYER_JOINT)
    np.testing.assert_allclose(unbounded, [1.5, 1.5])


def test_the_gate_sends_an_image_to_the_nearest_class_mean() -> None:
    # every class varies by one in each direction, so that the metric is a multiple of the plain one
    first = torch.tensor([[-1.0, 1.0], [1.0, 1.0], [4.0, 0.0], [4.0, 2.0]])
    second = torch.tensor([[-1.0, 10.0], [1.0, 10.0], [4.0, 9.0], [4.0, 11.0]])
    labels = [torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 1, 1])]
    gate = PrototypeGate.fit([first, second], labels)
    assert gate.prototypes.tolist() == [[0, 1], [4, 1], [0, 10], [4, 10]]
    images = torch.tensor([[1.0, 3.0], [5.0, 8.0], [0.0, 5.4], [0.0, 5.6]])
    assert choices(gate, [images])[0].tolist() == [0, 1, 0, 1]


def test_chosen_shares_average_over_tasks() -> None:
    chosen = [torch.tensor([0, 0, 1, 0]), torch.tensor([1]), torch.tensor([1])]
    assert chosen_shares(chosen, ["a", "b", "b"], 2) == [0.375, 0.625]


@pytest.mark.parametrize(
    ("given_settings", "sentence"),
    [
        (
            {"method": "soup"},
            "merge method 'soup' is not known; choose one of adamerging, core-space-ties, dare, factor-average,",
        ),
        ({"method": "mixture", "level": "head"}, "no level 'head'; choose one of: level 'output' with"),
        (
            {"method": "mixture", "level": "layer", "coefficients": "gated"},
            "has no level 'layer' with",
        ),
        ({"method": "fusion", "coefficients": "joint"}, "method 'fusion' has no coefficients 'joint'"),
        ({"method": "fusion", "level": "output"}, "choose one of: level 'layer' with coefficients 'sequential'"),
        ({"budget": 1}, "merge setting budget is wrong"),
        ({"start": 2.0}, "start 2 lies outside ±1.5"),
        ({"objective": "accuracy"}, "merge setting objective is wrong"),
        ({"objective": "reference"}, "the published scripts have no objective for routed output gated; leave"),
        (
            {"coefficients": "joint", "objective": "reference"},
            "choose one of: fusion layer sequential, lorahub layer joint, mixture",
        ),
        ({"method": "model-soup", "objective": "reference"}, "no objective for model-soup layer uniform"),
        ({"method": "model-soup", "coefficients": "joint"}, "method 'model-soup' has no coefficients 'joint'"),
        ({"colour": "red"}, "merge setting colour is wrong"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given_settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        choose_settings(**given_settings)
    assert sentence in str(refused.value)


def test_what_is_left_out_is_the_methods_default() -> None:
    assert (choose_settings(method="fusion").level, choose_settings(method="fusion").coefficients) == (
        "layer",
        "sequential",
    )
    assert choose_settings(method="mixture", level="layer", coefficients=None).coefficients == "sequential"
    assert MethodSettings(parameters=choose_settings().parameters) == choose_settings(method="routed", seed=None)
    assert choose_settings(method="lorahub").start == 0.0
    assert choose_settings(method="lorahub", start=0.25).start == 0.25
    assert choose_settings(method="fusion").start == 0.5


def test_settings_written_before_there_was_an_objective_are_read_and_written_as_they_were() -> None:
    written = (
        '{"method":"fusion","level":"layer","coefficients":"sequential",'
        '"budget":40,"bound":1.5,"start":0.5,"l1":0.05,"seed":0}'
    )
    read = MethodSettings.model_validate_json(written)
    assert read.objective == "cross-entropy"
    assert canonical_json(read.model_dump(mode="json")) == canonical_json(json.loads(written))
    published = choose_settings(method="fusion", objective="reference")
    assert MethodSettings.model_validate(published.model_dump()) == published != read


def test_every_registered_method_can_be_had() -> None:
    for name in names():
        method_of(name)
    with pytest.raises(InvalidInput, match="choose one of adamerging, core-space-ties, dare, factor-average, fusion"):
        method_of("soup")
