"""What every plugin says about every distilled image, computed once and kept across merge rounds."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.tensor_cache import TensorCache
from medforge.base_module import BaseModule
from medforge.determinism import on_grid
from medforge.errors import InvalidBranch

# how entries are computed: those of 0.1.0 depended on threads
_COMPUTED = "in float64, on a grid"


class ProbabilityCache:
    """Keep class probabilities per (plugin, distilled dataset), and base embeddings per distilled dataset.

    Entries are addressed by the digests of everything they depend on (base, dtype, device kind, plugin, dataset), held
    in memory and in ``directory`` (None: in memory only). A file that is missing, cut short or altered is computed
    again. ``image_forwards`` counts the images that went through the network, ``base_forwards`` those among them
    without a plugin.
    """

    def __init__(self, base: BaseModule, directory: Path | None) -> None:
        self.image_forwards = 0
        self.base_forwards = 0
        self._base = base
        self._kept = TensorCache(directory)

    def probabilities(self, of: ArrivedBranch, on: ArrivedBranch) -> Tensor:
        """Return class probabilities [n, C] (float32, CPU) of one branch's plugin on another branch's distilled images.

        Raises InvalidBranch where the plugin's outputs are not finite.
        """
        return self._entry("probabilities", of.plugin_digest, on.distilled_digest, lambda: self._ask(of, on))

    def embeddings(self, on: ArrivedBranch) -> Tensor:
        """Return unnormalised base embeddings [n, d], float32 on the CPU, of a branch's distilled images."""
        return self._entry("embeddings", "", on.distilled_digest, lambda: self._embed(on))

    def _ask(self, of: ArrivedBranch, on: ArrivedBranch) -> Tensor:
        base, images = self._base, on.images()
        self.image_forwards += len(images)
        plugin = of.plugin()
        deltas = base.steadily(lambda: plugin.deltas(base))
        probabilities = base.log_probabilities(images, on.prompts, deltas).exp().float().cpu()
        if not probabilities.isfinite().all():
            raise InvalidBranch(
                f"the plugin of branch {of.digest[:12]} ({of.contributor}) gives outputs that are not finite on the "
                f"distilled images of branch {on.digest[:12]} ({on.contributor}); train it again with a lower rate"
            )
        return probabilities

    def _embed(self, on: ArrivedBranch) -> Tensor:
        images = on.images()
        self.image_forwards += len(images)
        self.base_forwards += len(images)
        return on_grid(self._base.embed_all(images, exactly=True)).float().cpu()

    def _entry(self, kind: str, plugin: str, distilled: str, compute: Callable[[], Tensor]) -> Tensor:
        base = self._base
        parts = [_COMPUTED, kind, base.fingerprint, str(base.dtype), base.device.type, plugin, distilled]
        return self._kept.get(parts, compute)
