"""MedForge-Fusion: factors are weighted and added, one plugin remains."""

from math import sqrt

from torch import Tensor
from torch.nn import functional as F

from medforge.aggregator.coefficients.objective import mean_loss, penalty
from medforge.aggregator.coefficients.sequential import compose, search_pair
from medforge.aggregator.coefficients.weights import WeightScorer
from medforge.aggregator.merge.method import Folded, MergeMethod, Round
from medforge.errors import InvalidBranch
from medforge.forge_item import FusedPlugin
from medforge.plugin import Factors, Plugin


def fuse(main: Plugin, arriving: Plugin, w: float, w_arriving: float) -> Plugin:
    """Fuse two plugins: θ = (w·B + w′·B′)(w·A + w′·A′) at every site (MedForge 2025, Fusion).

    Factors of a smaller rank are padded with zeros. √(alpha / rank) is folded into both factors of each plugin first,
    so plugins of different scaling fuse by what they do; the result has the larger rank and scaling 1. (w, w′) = (1, 0)
    gives the main plugin's weight change, (0, 1) the arriving one's. Cross terms (B·A′, B′·A) are part of the method.

    Raises InvalidBranch where the plugins do not adapt the same layers.
    """
    if main.sites != arriving.sites:
        raise InvalidBranch("the arriving plugin adapts other layers than the main branch does; train it on this base")
    rank = max(main.settings.rank, arriving.settings.rank)
    factors = {site: _add(_plain(main, site, rank), _plain(arriving, site, rank), w, w_arriving) for site in main.sites}
    settings = main.settings.model_copy(update={"rank": rank, "alpha": float(rank)})
    return Plugin(settings, main.base_fingerprint, factors)


def _plain(plugin: Plugin, site: str, rank: int) -> Factors:
    """Bring a pair to scaling 1 and the given rank."""
    pair, root = plugin.factors[site], sqrt(plugin.settings.scaling)
    missing = rank - plugin.settings.rank
    return Factors(down=F.pad(root * pair.down, (0, 0, 0, missing)), up=F.pad(root * pair.up, (0, missing)))


def _add(main: Factors, arriving: Factors, w: float, w_arriving: float) -> Factors:
    def weigh(a: Tensor, b: Tensor) -> Tensor:
        return w * a + w_arriving * b

    return Factors(down=weigh(main.down, arriving.down), up=weigh(main.up, arriving.up))


class Fusion(MergeMethod):
    """Search (w, w′) on the distilled data of everything that has arrived, and fuse."""

    def fold(self, merge_round: Round) -> Folded:
        """Fuse the arriving plugin into the main one; the first arrival becomes the main plugin as it is.

        The commit's coefficients are the products c_k = w′_k · Π_{j>k} w_j, by which plugin k's factors weigh in the
        result.
        """
        base = merge_round.base
        scorer = WeightScorer(base, merge_round.arrived)
        arriving = merge_round.arriving.branch().plugin
        if merge_round.first:
            plugin, pair = arriving, (0.0, 1.0)
        else:
            main = _fused(merge_round).plugin

            def objective(w: float, w_arriving: float) -> float:
                fused = fuse(main, arriving, w, w_arriving).deltas(base.device)
                return mean_loss(scorer.scores(fused)) + penalty((w, w_arriving), merge_round.settings.l1)

            pair = search_pair(objective, merge_round.settings, merge_round.seed)
            plugin = fuse(main, arriving, *pair)
        coefficients = compose(dict(merge_round.coefficients), merge_round.arriving.digest, pair)
        return Folded(FusedPlugin(plugin), coefficients, scorer.scores(plugin.deltas(base.device)))


def _fused(merge_round: Round) -> FusedPlugin:
    item = merge_round.main()
    assert isinstance(item, FusedPlugin), "a forge keeps one merge method for good"
    return item


METHOD = Fusion()
