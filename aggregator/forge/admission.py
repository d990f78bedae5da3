"""What a branch must be before it becomes an arrival: small enough, of the declared shape, and within bounds.

Cheap checks come first: the manifest alone, then the files' headers, then what is in them. What any branch must be
(`Branch.assemble`, `Branch.check`: digests, shapes, labels, finite values) is checked there.
"""

from collections.abc import Mapping
from functools import lru_cache
from itertools import product
from math import prod
from pathlib import Path

import torch

from medforge.aggregator.forge.policy import Limits, Policy
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.contributor_name import check_not_reserved
from medforge.distilled import DistilledDataset
from medforge.errors import CorruptFile, InvalidBranch, InvalidInput
from medforge.files import parse_json
from medforge.manifest import DISTILLED_FILE, PLUGIN_DIRECTORY, STATISTICS_FILE, Manifest
from medforge.name_skeleton import alike
from medforge.peft_format import CONFIG_FILE, WEIGHTS_FILE, stored_shapes, tensor_name
from medforge.plugin import Plugin
from medforge.prompt_form import hidden_fault, prompt_fault, texts_fault
from medforge.proto.errors import OverLimit

PLUGIN_CONFIG = f"{PLUGIN_DIRECTORY}/{CONFIG_FILE}"
PLUGIN_WEIGHTS = f"{PLUGIN_DIRECTORY}/{WEIGHTS_FILE}"
LONGEST_CONFIG = 1 << 20
LONGEST_HEADER = 1 << 22
# how many distilled images tell how large embeddings are, and how much larger statistics may be
_MEASURED = 4
_MOST_TIMES = 4.0
_BYTES = {"F32": 4, "F16": 2, "I64": 8}
# name → (dtype as safetensors spells it, shape)
Layout = Mapping[str, tuple[str, tuple[int, ...]]]


def check_manifest(manifest: Manifest, policy: Policy, used: int) -> None:
    """Check what the manifest alone says against the limits; ``used`` are the bytes the contributor has in the forge.

    Raises OverLimit with the first thing that is too much, InvalidBranch for texts that are the same to a reader, or
    that hold what nobody sees, and where less differential privacy is claimed than the policy demands.
    """
    if fault := policy.privacy.fault(manifest.privacy):
        raise InvalidBranch(fault)
    limits = policy.limits
    size = manifest.size
    longest = max(map(len, manifest.prompts))
    _cap("the branch", size, "bytes", limits.branch, "use a smaller rank or fewer distilled images")
    _cap("the plugin's config", manifest.files[PLUGIN_CONFIG].size, "bytes", LONGEST_CONFIG, "commit the branch again")
    _cap("the plugin", manifest.plugin.rank, "ranks", limits.rank, "train it with a smaller rank")
    _cap("the distilled dataset", manifest.ipc, "images per class", limits.images_per_class, "distil fewer")
    _cap("the task", len(manifest.prompts), "classes", limits.classes, "join classes, or divide the task")
    _cap("a class prompt", longest, "characters", limits.prompt_length, "shorten it")
    _cap(
        f"{manifest.name} with this branch", used + size, "bytes here", limits.contributor,
        "withdraw and erase an earlier branch"
    )  # fmt: skip
    _check_texts(manifest)


def _check_texts(manifest: Manifest) -> None:
    """Raise InvalidBranch for texts that people would misread, in whatever field they come."""
    said = [manifest.base_spec, manifest.recipe, *manifest.validation, *manifest.software, *manifest.software.values()]
    said += [text for text in (manifest.split, manifest.together) if text is not None]
    fault = (
        prompt_fault(manifest.prompts)
        or texts_fault(manifest.classes or (), manifest.modality or "")
        or hidden_fault("text", said)
    )
    if fault is not None:
        raise InvalidBranch(f"{fault}; mend the task's texts and commit again")


def check_name(manifest: Manifest, invited: Mapping[str, str]) -> None:
    """Check that a branch comes under a name that is its contributor's own.

    ``invited`` has the name for people of everybody who was invited, by identifier. Raises InvalidBranch where the
    contributor was invited under another name, or where the name looks like somebody else's or is reserved.
    """
    due, written = invited.get(manifest.contributor), manifest.display_name
    if due is None:
        try:
            check_not_reserved(manifest.contributor, written or manifest.contributor)
        except InvalidInput as error:
            raise InvalidBranch(str(error)) from error
    if due is not None and written is not None and written != due:
        raise InvalidBranch(
            f"the branch names its contributor {written!r}, but {manifest.contributor} was invited as {due!r}; push it "
            "with the kit that came with the invitation"
        )
    own = {manifest.contributor, written or manifest.contributor}
    for identifier, other in invited.items():
        if identifier != manifest.contributor and any(alike(*pair) for pair in product(own, {identifier, other})):
            raise InvalidBranch(
                f"the branch names its contributor {written or manifest.contributor!r}, which looks like the name of "
                f"{identifier!r}, who was invited; commit it under another name"
            )


def check_headers(manifest: Manifest, files: Mapping[str, Path], base: BaseModule, limits: Limits) -> None:
    """Check the headers of a branch's safetensors files, before any tensor is read.

    Names, dtypes, shapes and sizes must be those that the manifest's kind, rank, images per class and classes make on
    the base module's sites and image size. ``files`` are the blobs by the manifest's paths.

    Raises OverLimit, CorruptFile for what is no safetensors header, or InvalidBranch.
    """
    check_sizes(manifest, files, base)
    check_plugin_header(manifest, files[PLUGIN_WEIGHTS], base, limits)
    check_distilled_header(manifest, files[DISTILLED_FILE])
    if STATISTICS_FILE in files:
        check_statistics_header(manifest, files[STATISTICS_FILE], base)


def check_sizes(manifest: Manifest, files: Mapping[str, Path], base: BaseModule) -> None:
    """Check the sizes of a manifest's images and files; raises InvalidBranch or CorruptFile."""
    if manifest.image_size != base.image_size:
        raise InvalidBranch(
            f"the manifest's image size is {manifest.image_size} where the base module takes {base.image_size}; "
            f"distil on the forge's base"
        )
    for path, entry in manifest.files.items():
        if files[path].stat().st_size != entry.size:
            raise CorruptFile(f"{path} has not the {entry.size} bytes that the manifest says; commit the branch again")


def check_plugin_header(manifest: Manifest, weights: Path, base: BaseModule, limits: Limits) -> None:
    """Check the header of a plugin's weights; raises OverLimit, CorruptFile or InvalidBranch."""
    plugin = read_header(weights, "the plugin")
    _cap("the plugin", len(plugin), "tensors", limits.tensors, "adapt fewer layers")
    _compare(plugin, _plugin_layout(manifest, base), "the plugin")


def check_distilled_header(manifest: Manifest, distilled: Path) -> None:
    """Check the header of a distilled dataset; raises OverLimit, CorruptFile or InvalidBranch."""
    _compare(read_header(distilled, "the distilled dataset"), _distilled_layout(manifest), "the dataset")


def check_statistics_header(manifest: Manifest, statistics: Path, base: BaseModule) -> None:
    """Check the header of class statistics; raises OverLimit, CorruptFile or InvalidBranch."""
    what = "the statistics file"
    _compare(read_header(statistics, what), _statistics_layout(manifest, base), what)


def check_pixels(distilled: DistilledDataset, base: BaseModule, room: float) -> None:
    """Check that distilled pixels are at most ``room`` ranges of real ones away from them; raises InvalidBranch."""
    # by channel, so that no second copy of the images is made
    mean, std = torch.tensor(base.mean), torch.tensor(base.std)
    lowest, highest = (extreme(distilled.images, (0, 2, 3)).float() for extreme in (torch.amin, torch.amax))
    low, high = float((lowest * std + mean).min()), float((highest * std + mean).max())
    if low < -room or high > 1 + room:
        raise InvalidBranch(
            f"distilled pixels lie in {low:.3g} … {high:.3g} where {-room:g} … {1 + room:g} are admitted "
            f"(0 is black, 1 white); distil again with a lower pixel rate"
        )


def check_counts(branch: Branch) -> None:
    """Check that what a manifest counts by class is what it counts in all, and what its class statistics sum up.

    Raises InvalidBranch.
    """
    said, images = branch.manifest.class_counts, branch.manifest.training_images
    if said is None:
        return
    if sum(said) != images:
        raise InvalidBranch(
            f"the class counts add up to {sum(said)} where {images} training images are named; commit the branch again"
        )
    summed = said if branch.statistics is None else branch.statistics.counts.tolist()
    for prompt, count, counted in zip(branch.manifest.prompts, said, summed, strict=True):
        if counted not in (0, count):
            raise InvalidBranch(
                f"the class statistics sum up {counted} images of {prompt[:200]!r} where the manifest names {count}; "
                "commit the branch again"
            )


def check_statistics(branch: Branch, base: BaseModule) -> None:
    """Check that class means and spread have the size of the base's embeddings, which distilled images tell.

    A router stands on the mean of all sites' covariances: one that is out of all measure would be everybody's. What is
    no larger than embeddings of plain pictures is in measure, and most is, so that no image is embedded for it. Raises
    InvalidBranch.
    """
    statistics, images = branch.statistics, branch.distilled.images
    if statistics is None:
        return
    means, spread = float(statistics.means.norm(dim=1).max()), float(statistics.covariance.double().trace()) ** 0.5
    plain = _plain_length(base)
    if means <= plain and spread <= plain:
        return
    some = images[:: -(-len(images) // _MEASURED)]
    bound = _MOST_TIMES * float(base.embed_all(some).norm(dim=1).max())
    for what, size in (("a mean of length", means), ("a spread of", spread)):
        # also where it is no number, which no comparison holds for
        if not size <= bound:
            raise InvalidBranch(
                f"the class statistics have {what} {size:.3g} where the base module's embeddings of the distilled "
                f"images admit {bound:.3g}; commit the branch again on the forge's base"
            )


@lru_cache(maxsize=4)
def _plain_length(base: BaseModule) -> float:
    """Return the largest length of the base's embeddings of a black, a grey and a white picture."""
    pixels = torch.tensor([0, 128, 255], dtype=torch.uint8).view(-1, 1, 1, 1)
    plain = base.normalise(pixels.expand(-1, 3, base.image_size, base.image_size))
    return float(base.embed_all(plain).norm(dim=1).max())


def check_weight_changes(plugin: Plugin, base: BaseModule, bound: float) -> None:
    """Check ‖ΔW‖ ≤ bound · ‖W‖ (Frobenius) at every site, one at a time; raises InvalidBranch."""
    norms = _weight_norms(base)
    for site in plugin.sites:
        ratio = float(plugin.delta(site, base).norm() / norms[site])
        # finite factors can have a product that is not, and no comparison with NaN holds
        if not ratio <= bound:
            raise InvalidBranch(
                f"the plugin changes the weight at {site} by {ratio:.3g} times its norm where {bound:g} is admitted; "
                f"train it with a lower rate, a smaller alpha or more weight decay"
            )


@lru_cache(maxsize=4)
def _weight_norms(base: BaseModule) -> Mapping[str, torch.Tensor]:
    return {site: base.weight(site).float().norm() for site in base.sites}


def read_header(path: Path, what: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Read the dtype and shape of every tensor from the header of a safetensors file, and nothing else of it.

    Raises OverLimit for a header that is too long, CorruptFile for one that is none, or that claims another number of
    bytes than the file has.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        _cap(f"the header of {what}", length, "bytes", LONGEST_HEADER, "commit the branch again")
        text = file.read(length)
    try:
        entries = parse_json(text, LONGEST_HEADER)
        entries.pop("__metadata__", None)
        layout = {name: (str(entry["dtype"]), _sizes(entry["shape"])) for name, entry in entries.items()}
        spans = {name: _span(entry["data_offsets"]) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise CorruptFile(f"{what} has no safetensors header ({error}); commit the branch again") from error
    ends = [0, *(end for _, end in sorted(spans.values()))]
    if [begin for begin, _ in sorted(spans.values())] != ends[:-1] or 8 + length + ends[-1] != path.stat().st_size:
        raise CorruptFile(f"{what} does not have the bytes that its header says; commit the branch again")
    for name, (begin, end) in spans.items():
        dtype, shape = layout[name]
        if end - begin != prod(shape) * _BYTES.get(dtype, 0):
            raise CorruptFile(
                f"{what} holds {name[:200]!r} in {end - begin} bytes, which are not {dtype[:20]} {shape}; "
                f"commit the branch again"
            )
    return layout


def _sizes(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(size) is int and size >= 0 for size in value):
        raise ValueError("a shape or an offset is no list of whole numbers")
    return tuple(value)


def _span(value: object) -> tuple[int, int]:
    begin, end = _sizes(value)
    return begin, end


def _plugin_layout(manifest: Manifest, base: BaseModule) -> Layout:
    settings = manifest.plugin
    return {
        tensor_name(settings.kind, site, part): ("F32", shape)
        for site in base.sites
        for part, shape in stored_shapes(settings, site, *base.site_shape(site)).items()
    }


def _distilled_layout(manifest: Manifest) -> Layout:
    count, size = manifest.ipc * len(manifest.prompts), manifest.image_size
    return {"images": ("F16", (count, 3, size, size)), "labels": ("I64", (count,))}


def _statistics_layout(manifest: Manifest, base: BaseModule) -> Layout:
    classes, width = len(manifest.prompts), base.embed_dim
    return {"sums": ("F32", (classes, width)), "counts": ("I64", (classes,)), "covariance": ("F32", (width, width))}


def _compare(found: Layout, due: Layout, what: str) -> None:
    odd = sorted(set(found) ^ set(due))
    if odd:
        state = "holds" if odd[0] in found else "lacks"
        raise InvalidBranch(
            f"{what} {state} the tensor {odd[0][:200]!r}, unlike the manifest and the base module say; "
            f"commit the branch again"
        )
    for name, (dtype, shape) in due.items():
        if found[name] != (dtype, shape):
            raise InvalidBranch(
                f"{what} holds {name} as {found[name][0][:20]} {found[name][1]} where {dtype} {shape} is due by the "
                f"manifest and the base module; commit the branch again"
            )


def _cap(who: str, value: int, unit: str, limit: int, remedy: str) -> None:
    if value > limit:
        raise OverLimit(
            f"{who} has {value} {unit} where this forge admits {limit}; {remedy}, or ask the forge for a higher limit"
        )
