"""What every merge method promises, for every kind of plugin; the method of the example package is one of them."""

import itertools
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from medforge.aggregator.merge import MethodSettings, built_in, choose_settings, listing_of, names
from medforge.aggregator.merge.loading import method_of
from medforge.aggregator.merge.methods.med_lego import med_lego
from medforge.aggregator.merge.training_free import NamedPlugin, TrainingFree
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.forge_item import ForgeItem, FusedPlugin, Level, Member, Mixture, Routed
from medforge.plugin import Plugin, PluginKind
from tests.aggregator.forges import LISTINGS, MODES, Mode, branches, fold_in_memory, open_main, settings_of
from tests.making import make_branch, make_distilled, make_plugin

IMAGES = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(5))
PROMPTS = ("benign", "malignant", "uncertain")

pytestmark = pytest.mark.usefixtures("with_examples")
EXAMPLE: Mode = ("median", "layer", "uniform")
every_mode = pytest.mark.parametrize("mode", [*MODES, EXAMPLE], ids="-".join)
every_kind = pytest.mark.parametrize("kind", get_args(PluginKind))
ANY_ORDER = [m for m in MODES if m[1:] in LISTINGS[m[0]].any_order]
any_order = pytest.mark.parametrize("mode", [*ANY_ORDER, EXAMPLE], ids="-".join)


def alone(base: BaseModule, plugin: Plugin) -> torch.Tensor:
    return base.logits(base.embed(IMAGES, plugin.deltas(base)), PROMPTS).softmax(dim=1)


# parameters under which a method takes nothing away from a single plugin
LOSSLESS = {
    "med-lego": {"energy": 1.0},
    "task-arithmetic": {"scale": 1.0},
    "ties": {"density": 1.0, "scale": 1.0},
    "knots-ties": {"density": 1.0, "scale": 1.0},
    "core-space-ties": {"density": 1.0, "scale": 1.0},
    "dare": {"drop": 0.0, "scale": 1.0},
    "magmax": {"scale": 1.0},
}
# methods that combine factors, and the kinds that they combine with one another
FACTORWISE: dict[str, list[set[str]]] = {
    **{name: [{"lora", "svd-lora"}, {"dora"}] for name in ("fusion", "lorahub", "factor-average")},
    "pem": [{"lora"}, {"svd-lora"}, {"dora"}],
}


def lossless(mode: Mode) -> MethodSettings:
    level, coefficients = mode[1:]
    parameters = LOSSLESS.get(mode[0])
    return choose_settings(method=mode[0], level=level, coefficients=coefficients, parameters=parameters)


@every_mode
@every_kind
def test_one_arrival_is_the_identity(tiny_base: BaseModule, mode: Mode, kind: PluginKind) -> None:
    branch = make_branch(tiny_base, kind=kind)
    (result,) = fold_in_memory(tiny_base, lossless(mode), [branch])
    assert result.coefficients == {branch.digest: 1.0}
    if isinstance(result.item, FusedPlugin) and mode[0] != "med-lego":
        assert result.item.plugin.digest == branch.plugin.digest
    merged = result.item.logits(tiny_base, IMAGES, PROMPTS).softmax(dim=1)
    torch.testing.assert_close(merged, alone(tiny_base, branch.plugin), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("level", get_args(Level))
@every_kind
def test_a_plugin_at_weight_one_is_the_identity_beside_others_at_zero(
    tiny_base: BaseModule, level: Level, kind: PluginKind
) -> None:
    plugins = [make_plugin(tiny_base, seed, kind=kind) for seed in range(3)]
    for weighed, plugin in enumerate(plugins):
        members = tuple(Member(f"{k:064x}", p, float(k == weighed)) for k, p in enumerate(plugins))
        merged = Mixture(members, level).logits(tiny_base, IMAGES, PROMPTS).softmax(dim=1)
        torch.testing.assert_close(merged, alone(tiny_base, plugin), rtol=1e-4, atol=1e-5)


@every_mode
@every_kind
def test_the_score_is_what_the_forge_item_really_gives(tiny_base: BaseModule, mode: Mode, kind: PluginKind) -> None:
    arriving = branches(tiny_base, kind=kind)
    result = fold_in_memory(tiny_base, settings_of(*mode), arriving)[-1]
    for branch in arriving:
        logits = scored_logits(tiny_base, result.item, branch, arriving)
        score = result.metrics[branch.manifest.task]
        assert score.loss == pytest.approx(float(F.cross_entropy(logits, branch.distilled.labels)), abs=1e-4)
        assert score.acc == float((logits.argmax(1) == branch.distilled.labels).float().mean())


def scored_logits(base: BaseModule, item: ForgeItem, branch: Branch, arrived: list[Branch]) -> torch.Tensor:
    """Return what a merge is scored by: a router's answers have one more, that the image is of another task."""
    own, images = branch.distilled.prompts, branch.distilled.images
    if not isinstance(item, Routed):
        return item.logits(base, images, own)
    union = [*own, *(prompt for one in arrived for prompt in one.distilled.prompts if prompt not in own)]
    everywhere = item.logits(base, images, union).log_softmax(dim=1)
    return torch.cat([everywhere[:, : len(own)], everywhere[:, len(own) :].logsumexp(dim=1, keepdim=True)], dim=1)


@any_order
@every_kind
def test_the_order_of_arrival_does_not_matter_to_a_method_that_says_so(
    tiny_base: BaseModule, mode: Mode, kind: PluginKind
) -> None:
    arriving = branches(tiny_base, kind=kind)
    ends = [fold_in_memory(tiny_base, settings_of(*mode), order)[-1] for order in itertools.permutations(arriving)]
    # the same model to the byte, whatever the history that led to it
    assert len({end.item.digest for end in ends}) == 1
    assert all(end.coefficients == ends[0].coefficients and end.metrics == ends[0].metrics for end in ends)


@pytest.mark.parametrize("mode", [m for m in MODES if m[1:] not in LISTINGS[m[0]].any_order], ids="-".join)
def test_the_order_of_arrival_matters_to_the_others(tiny_base: BaseModule, mode: Mode) -> None:
    """So the test above can fail."""
    arriving = branches(tiny_base)
    forth, back = (fold_in_memory(tiny_base, settings_of(*mode), order)[-1] for order in (arriving, arriving[::-1]))
    assert max(abs(forth.coefficients[digest] - back.coefficients[digest]) for digest in forth.coefficients) > 1e-3


@every_mode
@pytest.mark.parametrize("kinds", list(itertools.combinations(get_args(PluginKind), 2)), ids="+".join)
def test_plugins_of_two_kinds_merge_or_are_refused_with_the_reason(
    tmp_path: Path, tiny_base: BaseModule, mode: Mode, kinds: tuple[PluginKind, PluginKind]
) -> None:
    main = open_main(tmp_path, tiny_base, settings_of(*mode))
    one, two = (make_branch(tiny_base, place, kind, kind=kind) for place, kind in enumerate(kinds))
    for branch in (one, two):
        main.forge.admit(branch, tiny_base)
    folded = [commit.branch for commit in main.fold_waiting()]
    if mode[0] not in FACTORWISE or any({*kinds} <= family for family in FACTORWISE[mode[0]]):
        assert folded == [one.digest, two.digest]
        assert main.checkout().logits(tiny_base, IMAGES, PROMPTS).isfinite().all()
    else:
        assert folded == [one.digest]
        reason = main.forge.ledger.holds()[2].reason
        assert f"plugins of kind {' and '.join(sorted(kinds))} cannot be combined" in reason
        assert "train one kind, or merge by mixture" in reason


@every_mode
def test_plugins_of_different_ranks_merge(tiny_base: BaseModule, mode: Mode) -> None:
    plugins = [make_plugin(tiny_base, seed, rank=rank, kind="svd-lora") for seed, rank in enumerate((1, 3, 4))]
    # the ranks of a merged plugin differ from site to site
    ragged = med_lego(plugins, tiny_base, 0.8)
    assert ragged.settings.ranks
    arriving = [
        Branch.build(
            plugin,
            make_distilled(tiny_base, seed),
            contributor=f"centre {seed}",
            task=f"task {seed}",
            base=tiny_base,
            training_images=10,
            recipe="test",
            seed=seed,
            validation={},
        )
        for seed, plugin in enumerate((plugins[0], ragged, plugins[2]))
    ]
    forth, back = (fold_in_memory(tiny_base, settings_of(*mode), order)[-1] for order in (arriving, arriving[::-1]))
    for end in (forth, back):
        end.item.check(tiny_base)
        assert end.item.logits(tiny_base, IMAGES, PROMPTS).isfinite().all()
    assert mode[1:] not in listing_of(mode[0]).any_order or forth.item.digest == back.item.digest


@pytest.mark.parametrize("mode", [*(m for m in MODES if not LISTINGS[m[0]].distilled), EXAMPLE], ids="-".join)
def test_a_method_that_says_so_needs_no_distilled_data(tiny_base: BaseModule, mode: Mode) -> None:
    arriving, settings = branches(tiny_base), settings_of(*mode)
    method = method_of(mode[0])
    assert isinstance(method, TrainingFree)
    plugins = [
        NamedPlugin(branch.digest, branch.plugin) for branch in sorted(arriving, key=lambda branch: branch.digest)
    ]
    item = method.merge(plugins, tiny_base, settings)
    assert item.digest == fold_in_memory(tiny_base, settings, arriving)[-1].item.digest


def test_every_method_that_can_be_had_is_here() -> None:
    assert set(names()) == {mode[0] for mode in [*MODES, EXAMPLE]}
    assert {mode[0] for mode in MODES} == set(built_in())
    assert listing_of("median").any_order == {EXAMPLE[1:]}
    assert not listing_of("median").distilled
