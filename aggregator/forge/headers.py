"""What the headers of a branch's files say, before any tensor is read: names, dtypes, shapes and sizes."""

from collections.abc import Mapping
from math import prod
from pathlib import Path

from medforge.aggregator.forge.policy import Limits, check_at_most
from medforge.base_module import BaseModule
from medforge.errors import CorruptFile, InvalidBranch
from medforge.files import parse_json
from medforge.manifest import DISTILLED_FILE, PLUGIN_DIRECTORY, STATISTICS_FILE, Manifest
from medforge.peft_format import WEIGHTS_FILE, stored_shapes, tensor_name

PLUGIN_WEIGHTS = f"{PLUGIN_DIRECTORY}/{WEIGHTS_FILE}"
LONGEST_HEADER = 1 << 22
_BYTES = {"F32": 4, "F16": 2, "I64": 8}
# name → (dtype as safetensors spells it, shape)
Layout = Mapping[str, tuple[str, tuple[int, ...]]]


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
    check_at_most("the plugin", len(plugin), "tensors", limits.tensors, "adapt fewer layers")
    _compare(plugin, _plugin_layout(manifest, base), "the plugin")


def check_distilled_header(manifest: Manifest, distilled: Path) -> None:
    """Check the header of a distilled dataset; raises OverLimit, CorruptFile or InvalidBranch."""
    _compare(read_header(distilled, "the distilled dataset"), _distilled_layout(manifest), "the dataset")


def check_statistics_header(manifest: Manifest, statistics: Path, base: BaseModule) -> None:
    """Check the header of class statistics; raises OverLimit, CorruptFile or InvalidBranch."""
    what = "the statistics file"
    _compare(read_header(statistics, what), _statistics_layout(manifest, base), what)


def read_header(path: Path, what: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Read the dtype and shape of every tensor from the header of a safetensors file, and nothing else of it.

    Raises OverLimit for a header that is too long, CorruptFile for one that is none, or that claims another number of
    bytes than the file has.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        check_at_most(f"the header of {what}", length, "bytes", LONGEST_HEADER, "commit the branch again")
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
