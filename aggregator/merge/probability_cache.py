"""What every plugin says about every distilled image, computed once and kept across merge rounds."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.kept_tasks import KeptTasks
from medforge.aggregator.merge.running_sums import RunningSums
from medforge.aggregator.merge.tensor_cache import TensorCache
from medforge.base_module import BaseModule
from medforge.determinism import on_grid
from medforge.errors import InvalidBranch
from medforge.forge_item import FusedPlugin, WeightChange
from medforge.routed_task import AskExpert

# how entries are computed: those of 0.1.0 depended on threads
_COMPUTED = "in float64, on a grid"
_ANSWERS = 512


class ProbabilityCache:
    """Keep class probabilities per (plugin, distilled dataset), and base embeddings per distilled dataset.

    Entries are addressed by the digests of everything they depend on (base, dtype, device kind, plugin, dataset), held
    in memory (the ``most`` last asked for, or all) and in ``directory`` (None: in memory only). A file that is missing,
    cut short or altered is computed again. ``sums`` and ``tasks`` are what a routed main branch keeps of its tasks.
    ``image_forwards`` counts the images that went through the network, ``base_forwards`` those among them without a
    plugin. May be used by threads.
    """

    def __init__(self, base: BaseModule, directory: Path | None, most: int | None = None) -> None:
        self.image_forwards = 0
        self.base_forwards = 0
        self.sums = RunningSums(directory)
        self.tasks = KeptTasks(directory)
        self.base = base
        self.directory = directory
        self._counting = threading.Lock()
        self._kept = TensorCache(directory, most)
        # of merged networks, which next to every fold makes anew: only the newest are asked again
        self._answers = TensorCache(None, _ANSWERS)

    def probabilities(self, of: ArrivedBranch, on: ArrivedBranch) -> Tensor:
        """Return class probabilities [n, C] (float32, CPU) of one branch's plugin on another branch's distilled images.

        Raises InvalidBranch where the plugin's outputs are not finite.
        """
        return self.entry("probabilities", of.plugin_digest, on.distilled_digest, lambda: self._ask(of, on))

    def embeddings(self, on: ArrivedBranch) -> Tensor:
        """Return unnormalised base embeddings [n, d], float32 on the CPU, of a branch's distilled images."""
        return self.entry("embeddings", "", on.distilled_digest, lambda: self._embed(on))

    def answers(self, network: FusedPlugin | WeightChange, on: ArrivedBranch) -> Tensor:
        """Return embeddings [n, d] of a branch's distilled images by the base with a merged network; in memory only.

        float32 on the CPU, not normalised. Raises InvalidBranch where they are not finite.
        """
        return self._answers.get([], [network.digest, on.distilled_digest], lambda: self._answer(network, on))

    def asking(self, on: ArrivedBranch) -> AskExpert:
        """Return what embeds rows of a branch's distilled images by a network (see `answers`)."""
        return lambda network, rows: self.answers(network, on)[rows]

    def _answer(self, network: FusedPlugin | WeightChange, on: ArrivedBranch) -> Tensor:
        base, images = self.base, on.images()
        self._count(len(images))
        change = base.steadily(lambda: network.weight_change(base))
        embeddings = on_grid(base.embed_all(images, change, exactly=True)).float().cpu()
        if not embeddings.isfinite().all():
            raise InvalidBranch(
                f"merged, the plugins of task {on.task!r} give outputs that are not finite; train the arriving one "
                "again with a lower rate"
            )
        return embeddings

    def _ask(self, of: ArrivedBranch, on: ArrivedBranch) -> Tensor:
        base, images = self.base, on.images()
        self._count(len(images))
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
        self._count(len(images), of_base=len(images))
        return on_grid(self.base.embed_all(images, exactly=True)).float().cpu()

    def _count(self, images: int, of_base: int = 0) -> None:
        with self._counting:
            self.image_forwards += images
            self.base_forwards += of_base

    def entry(self, kind: str, plugin: str, distilled: str, compute: Callable[[], Tensor]) -> Tensor:
        """Return what is kept under a kind and the digests of a plugin and a dataset, or compute and keep it."""
        base = self.base
        parts = [_COMPUTED, kind, base.fingerprint, str(base.dtype), base.device.type]
        return self._kept.get(parts, [plugin, distilled] if plugin else [distilled], compute)

    def forget(self, branches: Sequence[ArrivedBranch]) -> None:
        """Forget all that was computed of any of these branches, in memory and in files; what is kept of others stays.

        What merged networks answered goes whole: nobody remembers whose plugins are in them.
        """
        self._kept.forget({digest for one in branches for digest in (one.plugin_digest, one.distilled_digest)})
        self._answers = TensorCache(None, _ANSWERS)
        digests = {one.digest for one in branches}
        self.sums.forget(digests)
        self.tasks.forget(digests)
