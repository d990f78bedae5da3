"""What every merge method promises, for every kind of plugin."""

import itertools
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from medforge.aggregator.merge import LISTINGS
from medforge.base_module import BaseModule
from medforge.forge_item import FusedPlugin, Level, Member, Mixture
from medforge.plugin import Plugin, PluginKind
from tests.making import make_branch, make_plugin

from .forges import MODES, Mode, branches, fold_in_memory, open_main, settings_of

IMAGES = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(5))
PROMPTS = ("benign", "malignant", "uncertain")

every_mode = pytest.mark.parametrize("mode", MODES, ids="-".join)
every_kind = pytest.mark.parametrize("kind", get_args(PluginKind))
any_order = pytest.mark.parametrize("mode", [m for m in MODES if m[1:] in LISTINGS[m[0]].any_order], ids="-".join)


def alone(base: BaseModule, plugin: Plugin) -> torch.Tensor:
    return base.logits(base.embed(IMAGES, plugin.deltas(base)), PROMPTS).softmax(dim=1)


@every_mode
@every_kind
def test_one_arrival_is_the_identity(tiny_base: BaseModule, mode: Mode, kind: PluginKind) -> None:
    branch = make_branch(tiny_base, kind=kind)
    (result,) = fold_in_memory(tiny_base, settings_of(*mode), [branch])
    assert result.coefficients == {branch.digest: 1.0}
    if isinstance(result.item, FusedPlugin):
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
        logits = result.item.logits(tiny_base, branch.distilled.images, branch.distilled.prompts)
        score = result.metrics[branch.manifest.task]
        assert score.loss == pytest.approx(float(F.cross_entropy(logits, branch.distilled.labels)), abs=1e-4)
        assert score.acc == float((logits.argmax(1) == branch.distilled.labels).float().mean())


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
def test_plugins_of_two_kinds_mix_and_do_not_fuse(tmp_path: Path, tiny_base: BaseModule, mode: Mode) -> None:
    main = open_main(tmp_path, tiny_base, settings_of(*mode))
    lora, dora = make_branch(tiny_base, 0, "one"), make_branch(tiny_base, 1, "two", kind="dora")
    for branch in (lora, dora):
        main.forge.admit(branch, tiny_base)
    folded = [commit.branch for commit in main.fold_waiting()]
    if LISTINGS[mode[0]].item == "mixture":
        assert folded == [lora.digest, dora.digest]
        assert main.checkout().logits(tiny_base, IMAGES, PROMPTS).isfinite().all()
    else:
        assert folded == [lora.digest]
        reason = main.forge.ledger.holds()[2].reason
        assert "plugins of kind dora and lora cannot be combined" in reason
        assert "train one kind, or merge by mixture" in reason
