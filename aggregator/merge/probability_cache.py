"""What every plugin says about every distilled image, computed once and kept across merge rounds."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.base_module import BaseModule
from medforge.errors import CorruptFile, InvalidBranch
from medforge.files import canonical_json, sha256_bytes, write_atomically
from medforge.tensors import dump_tensors, parse_tensors


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
        self._directory = directory
        self._held: dict[str, Tensor] = {}

    def probabilities(self, of: ArrivedBranch, on: ArrivedBranch) -> Tensor:
        """Class probabilities [n, C] (float32, CPU) that the plugin of one branch gives to another's distilled images.

        Raises InvalidBranch where the plugin's outputs are not finite.
        """
        return self._entry("probabilities", of.plugin_digest, on.distilled_digest, lambda: self._ask(of, on))

    def embeddings(self, on: ArrivedBranch) -> Tensor:
        """Unnormalised base embeddings [n, d], float32 on the CPU, of a branch's distilled images."""
        return self._entry("embeddings", "", on.distilled_digest, lambda: self._embed(on))

    def _ask(self, of: ArrivedBranch, on: ArrivedBranch) -> Tensor:
        base, distilled = self._base, on.branch().distilled
        self.image_forwards += len(distilled)
        embeddings = base.embed_all(distilled.images, of.branch().plugin.deltas(base))
        probabilities = base.logits(embeddings, distilled.prompts).softmax(dim=1).cpu()
        if not probabilities.isfinite().all():
            raise InvalidBranch(
                f"the plugin of branch {of.digest[:12]} ({of.contributor}) gives outputs that are not finite on the "
                f"distilled images of branch {on.digest[:12]} ({on.contributor}); train it again with a lower rate"
            )
        return probabilities

    def _embed(self, on: ArrivedBranch) -> Tensor:
        images = on.branch().distilled.images
        self.image_forwards += len(images)
        self.base_forwards += len(images)
        return self._base.embed_all(images).cpu()

    def _entry(self, kind: str, plugin: str, distilled: str, compute: Callable[[], Tensor]) -> Tensor:
        base = self._base
        parts = [kind, base.fingerprint, str(base.dtype), base.device.type, plugin, distilled]
        key = sha256_bytes(canonical_json(parts))
        if key not in self._held:
            kept = self._read(key)
            if kept is None:
                # an inference tensor could not be used in a later search with gradients
                kept = compute().clone()
                self._write(key, kept)
            self._held[key] = kept
        return self._held[key]

    def _path(self, key: str) -> Path | None:
        return None if self._directory is None else self._directory / f"{key}.safetensors"

    def _read(self, key: str) -> Tensor | None:
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            tensors, metadata = parse_tensors(path.read_bytes(), str(path))
            values = tensors["values"]
        except (CorruptFile, OSError, KeyError):
            return None
        return values if metadata.get("digest") == _digest(key, values) else None

    def _write(self, key: str, values: Tensor) -> None:
        path = self._path(key)
        if path is not None:
            write_atomically(path, dump_tensors({"values": values}, {"digest": _digest(key, values)}))


def _digest(key: str, values: Tensor) -> str:
    content = values.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    return sha256_bytes(canonical_json([key, str(values.dtype), list(values.shape), sha256_bytes(content)]))
