"""The base module: a frozen open_clip CLIP that everybody shares."""

import copy
import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from medforge.base_facts import BaseFacts
from medforge.bases.text_tower import text_facts
from medforge.determinism import WideWeights, in_chunks, in_float64, on_grid, to_float32
from medforge.errors import InvalidInput
from medforge.files import canonical_json
from medforge.image_geometry import Preprocessing
from medforge.manifest import public_spec
from medforge.tower import VisualTower, adaptable_sites, split_tower

Tokenizer = Callable[[list[str]], Tensor]

Item = TypeVar("Item")
Result = TypeVar("Result")

# images that one thread runs together, and an accelerator; whatever the cores, so that sums are cut alike
_CHUNK = 16
_BATCH = 64
_FEW_WEIGHTS = 4_000_000
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class BaseModule(nn.Module):
    """Hold a frozen CLIP: image embeddings with or without weight changes, and cached prompt features.

    ``sites`` names the Linear layers of ``visual`` that a plugin adapts. ``architecture`` is the open_clip model
    configuration, ``preprocessing`` how an image becomes its input; ``geometry`` gives what of that is not CLIP's own,
    but for the size. ``fingerprint`` (sha256, hex) digests everything that an embedding depends on: both, the fp32
    weights, and a text tower or tokenizer of transformers. It is the same for every device and compute dtype.
    """

    clip: Any  # open_clip's classes share an interface, but no type

    def __init__(
        self,
        clip: Any,
        tokenizer: Tokenizer,
        spec: str,
        architecture: Mapping[str, object],
        mean: Sequence[float],
        std: Sequence[float],
        device: str = "auto",
        dtype: str = "fp32",
        *,
        geometry: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.architecture = dict(architecture)
        self.preprocessing = Preprocessing.model_validate(
            {"size": _image_size(clip), "mean": tuple(mean), "std": tuple(std), **(geometry or {})}
        )
        self.fingerprint = _fingerprint(clip, architecture, self.preprocessing, text_facts(clip, tokenizer))
        self.logit_scale = float(clip.logit_scale.detach().exp())
        self.device = choose_device(device)
        self.dtype = _choose_dtype(dtype)
        clip.visual = split_tower(clip.visual)
        # cast once: casting frozen weights again at every call (autocast) is slower than not using bf16 at all
        self.clip = clip.to(self.device, self.dtype).eval().requires_grad_(False)
        self.sites = adaptable_sites(self.visual)
        self.embed_dim = self._embedding_width()
        self.tokenizer = tokenizer
        self._towers: list[VisualTower] = []
        self._prompt_features: dict[tuple[str, ...], Tensor] = {}

    @property
    def facts(self) -> BaseFacts:
        """What this base says of itself, without a path of this machine."""
        return BaseFacts(
            spec=public_spec(self.spec),
            fingerprint=self.fingerprint,
            architecture=self.architecture,
            preprocessing=self.preprocessing,
        )

    @property
    def mean(self) -> tuple[float, float, float]:
        """The mean of pixels in [0, 1] that normalised images have none of."""
        return self.preprocessing.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """The deviation of pixels in [0, 1] that is 1 in normalised images."""
        return self.preprocessing.std

    @property
    def image_size(self) -> int:
        """The side of the images that it takes, in pixels."""
        return self.preprocessing.size

    @property
    def visual(self) -> VisualTower:
        """The image encoder; site names are names of modules inside it."""
        tower: VisualTower = self.clip.visual
        return tower

    def weight(self, site: str) -> Tensor:
        """Return the frozen weight [out, in] at a site, in the compute dtype."""
        layer = self.visual.get_submodule(site)
        assert isinstance(layer, nn.Linear)
        return layer.weight

    def site_shape(self, site: str) -> tuple[int, int]:
        """Return (out_features, in_features) of a site."""
        rows, columns = self.weight(site).shape
        return rows, columns

    def normalise(self, pixels: Tensor) -> Tensor:
        """Bring uint8 pixels [n, 3, S, S] into the base's input space, on its device and in its dtype."""
        mean, std = (torch.tensor(v, device=self.device).view(3, 1, 1) for v in (self.mean, self.std))
        return ((pixels.to(self.device).float() / 255 - mean) / std).to(self.dtype)

    def embed(self, images: Tensor, deltas: Mapping[str, Tensor] | None = None) -> Tensor:
        """Embed one batch of normalised images [n, 3, S, S], adding the weight change ``deltas[site]`` at its site.

        Returns unnormalised embeddings [n, d] in float32, differentiable with respect to images and deltas.
        """
        return self._run(images, self._changed(deltas))

    def site_inputs(self, images: Tensor, deltas: Mapping[str, Tensor], sites: Collection[str]) -> dict[str, Tensor]:
        """Return what flows into some sites, [n, …, in] each, while one batch of normalised images is embedded.

        ``deltas`` change the weights of any sites, one at least. The tower runs no further than to the last of
        ``sites``; no gradients. Sites that are fed the same tensor get the same one.
        """
        seen: dict[str, Tensor] = {}
        with self._own_tower() as tower, torch.no_grad():
            hooks = [
                tower.get_submodule(site).register_forward_pre_hook(partial(_note_input, seen, site, len(sites)))
                for site in sites
            ]
            try:
                functional_call(tower, self._changed(deltas), (images.to(self.device, self.dtype),))
            except _Seen:
                pass
            finally:
                for hook in hooks:
                    hook.remove()
        return seen

    def embed_all(self, images: Tensor, deltas: Mapping[str, Tensor] | None = None, exactly: bool = False) -> Tensor:
        """Embed any number of normalised images without gradients; [n, d], the same with any number of threads.

        float32; computed ``exactly`` it is float64 where the base computes in float32 on a CPU (see `steadily`).
        """
        compute = self.steadily if exactly else _plainly
        with torch.inference_mode():
            changed = compute(lambda: self._changed(deltas))

        def embed(part: slice) -> Tensor:
            with torch.inference_mode():
                return compute(lambda: self._run(images[part], changed))

        parts = self.in_chunks(embed, len(images))
        return torch.cat(parts) if parts else torch.empty(0, self.embed_dim, device=self.device)

    def log_probabilities(
        self, images: Tensor, prompts: Sequence[str], deltas: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Class log-probabilities of normalised images, float64 [n, C], rounded to a grid (see `on_grid`).

        What merges are made and measured by: computed in float64 where the base computes in float32 on a CPU, so that
        the values do not depend on threads, and next to never on the kind of processor.
        """
        embeddings = self.embed_all(images, deltas, exactly=True)
        return on_grid(self.steadily(lambda: self.logits(embeddings, prompts)).double().log_softmax(dim=1))

    def in_chunks(self, function: Callable[[slice], Result], count: int) -> list[Result]:
        """Call a function with consecutive slices of ``count`` images, and return the results in their order.

        On a CPU slices of 16, each on one thread and several at a time (see `determinism.in_chunks`), elsewhere of 64.
        """
        if self.device.type == "cpu":
            return in_chunks(function, count, _CHUNK)
        return [function(part) for part in batches(count, _BATCH)]

    def side_by_side(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Call a function that embeds with every item, and return the results in their order.

        On a CPU each on one thread and several at a time (see `determinism.in_chunks`), elsewhere one after another.
        """
        if self.device.type == "cpu":
            return in_chunks(lambda part: function(items[part.start]), len(items), 1)
        return [function(item) for item in items]

    def steadily(self, compute: Callable[[], Result]) -> Result:
        """Compute in float64 (see `in_float64`) where this base computes in float32 on a CPU, elsewhere as it does."""
        if self.device.type != "cpu" or self.dtype != torch.float32:
            return compute()
        return in_float64(compute, self._wide_weights)

    def prompt_features(self, prompts: Sequence[str]) -> Tensor:
        """Encode class prompts once per tuple; unit rows, float32 [C, d]."""
        key = tuple(prompts)
        if key not in self._prompt_features:
            # cached for callers with and without gradients, so it must not become an inference tensor
            with torch.inference_mode(False), torch.no_grad():
                tokens = self.tokenizer(list(key)).to(self.device)
                features = self.steadily(lambda: F.normalize(self.clip.encode_text(tokens).float(), dim=-1))
                self._prompt_features[key] = to_float32(features)
        return self._prompt_features[key]

    def logits(self, embeddings: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return logit scale × cosine similarity of image embeddings [n, d] and class prompts; float32 [n, C]."""
        return self.logit_scale * F.normalize(embeddings.float(), dim=-1) @ self.prompt_features(prompts).T

    @cached_property
    def _wide_weights(self) -> WideWeights:
        """The tower's weights in float64, where they are few: of a larger one converting is a small part of a pass."""
        weights = list(self.visual.parameters())
        few = sum(one.numel() for one in weights) <= _FEW_WEIGHTS
        return WideWeights(weights if few else ())

    def merged(self, deltas: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights [out, in] of sites with their changes added, in the compute dtype."""
        # added in float32, so that a small change is not lost to the rounding of a bf16 weight before the sum
        return {
            site: (self.weight(site).float() + delta.to(self.device).float()).to(self.dtype)
            for site, delta in deltas.items()
        }

    def _changed(self, deltas: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        return {f"{site}.weight": weight for site, weight in self.merged(deltas or {}).items()}

    def _run(self, images: Tensor, changed: dict[str, Tensor]) -> Tensor:
        images = images.to(self.device, self.dtype)
        if not changed:
            unchanged: Tensor = self.visual(images)
            return unchanged.float()
        with self._own_tower() as tower:
            embeddings: Tensor = functional_call(tower, changed, (images,))
        return embeddings.float()

    @contextmanager
    def _own_tower(self) -> Iterator[VisualTower]:
        """Lend a tower that nobody else uses: `functional_call` exchanges a module's weights while it runs."""
        try:
            tower = self._towers.pop()
        except IndexError:
            tower = _sharing_weights(self.visual)
        try:
            yield tower
        finally:
            self._towers.append(tower)

    def _embedding_width(self) -> int:
        size = self.image_size
        try:
            with torch.no_grad():
                return int(self.visual(torch.zeros(1, 3, size, size, device=self.device, dtype=self.dtype)).shape[1])
        except AssertionError as error:
            raise InvalidInput(
                f"the image tower of {public_spec(self.spec)} does not take the {size}×{size} images that its "
                "configuration names; correct its image_size"
            ) from error


class _Seen(Exception):
    """Stop a forward pass whose rest nobody needs."""


def _note_input(seen: dict[str, Tensor], site: str, wanted: int, _layer: nn.Module, inputs: tuple[Tensor]) -> None:
    (seen[site],) = inputs
    if len(seen) == wanted:
        raise _Seen


def _sharing_weights(tower: VisualTower) -> VisualTower:
    """Copy a tower's modules, not its tensors."""
    tensors = (*tower.parameters(), *tower.buffers())
    return copy.deepcopy(tower, {id(tensor): tensor for tensor in tensors})


def _plainly(compute: Callable[[], Result]) -> Result:
    return compute()


def batches(count: int, size: int) -> Iterator[slice]:
    """Cut ``count`` items into consecutive slices of at most ``size``."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def choose_device(name: str) -> torch.device:
    """Resolve ``auto`` (CUDA where there is one, else CPU) or a torch device name.

    Raises InvalidInput for a device that this machine lacks.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInput(f"device {name!r} is not available on this machine; use --device auto or cpu") from error
    return device


def _choose_dtype(name: str) -> torch.dtype:
    if name not in _DTYPES:
        raise InvalidInput(f"dtype {name!r} is not known; choose one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def _image_size(clip: Any) -> int:
    size = clip.visual.image_size
    height, width = size if isinstance(size, tuple) else (size, size)
    if height != width:
        raise InvalidInput(f"the base module takes {height}×{width} images; choose one that takes square images")
    return int(height)


def _fingerprint(clip: Any, architecture: Mapping[str, object], seen: Preprocessing, text: Mapping[str, object]) -> str:
    # what is CLIP's own is left out, as it was before anything else was known: bases of then keep their fingerprints
    usual = Preprocessing(size=seen.size, mean=seen.mean, std=seen.std).key()
    unusual = {name: value for name, value in seen.key().items() if usual.get(name) != value}
    head = {"architecture": architecture, "mean": list(seen.mean), "std": list(seen.std), **unusual, **text}
    digest = hashlib.sha256(canonical_json(head))
    for name, tensor in sorted(clip.state_dict().items()):
        digest.update(canonical_json([name, list(tensor.shape)]))
        # viewed as bytes, not converted: the digest is of the weights themselves
        digest.update(tensor.detach().cpu().float().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
