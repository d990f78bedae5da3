"""Structure checks of a branch: caps, headers, norms and pixel ranges."""

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.forge.admission import (
    LONGEST_CONFIG,
    PLUGIN_CONFIG,
    check_manifest,
    check_name,
    check_pixels,
    check_weight_changes,
)
from medforge.aggregator.forge.content_check import ContentCheck
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.headers import LONGEST_HEADER, PLUGIN_WEIGHTS, check_headers, read_header
from medforge.aggregator.forge.policy import Limits, Policy
from medforge.aggregator.forge.verdicts import Verdicts
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.contributor_name import ContributorName
from medforge.errors import CorruptFile, InvalidBranch
from medforge.manifest import BRANCH_FILES, DISTILLED_FILE, FileEntry, Manifest
from medforge.plugin import PluginKind
from medforge.proto.errors import OverLimit
from tests.making import branch_around, make_branch, make_plugin, make_ragged

Header = dict[str, Any]


def amounts(branch: Branch) -> dict[str, int]:
    """What the branch has of everything that is capped by its manifest."""
    manifest = branch.manifest
    size = sum(entry.size for entry in manifest.files.values())
    return {
        "branch": size,
        "contributor": size,
        "rank": manifest.plugin.rank,
        "images_per_class": manifest.ipc,
        "classes": len(manifest.prompts),
        "prompt_length": max(map(len, manifest.prompts)),
    }


@given(
    name=st.sampled_from(["branch", "contributor", "rank", "images_per_class", "prompt_length"]),
    rank=st.integers(2, 4),
    ipc=st.integers(2, 4),
)
@settings(max_examples=25, deadline=None)
def test_a_cap_that_is_met_exactly_admits_and_one_less_does_not(
    tiny_base: BaseModule, name: str, rank: int, ipc: int
) -> None:
    branch = make_branch(tiny_base, rank=rank, ipc=ipc)
    amount = amounts(branch)[name]
    check_manifest(branch.manifest, Policy(limits=Limits(**{name: amount})), 0)
    with pytest.raises(OverLimit, match=f"{amount} .* admits {amount - 1}; .* ask the forge for a higher limit"):
        check_manifest(branch.manifest, Policy(limits=Limits(**{name: amount - 1})), 0)


@pytest.mark.parametrize(
    ("contributor", "display", "sentence"),
    [
        ("clinic", None, ""),
        ("clinic", "Klinik für Radiologie", ""),
        ("clinic", "Charité", "'Charité', but clinic was invited as 'Klinik für Radiologie'; push it with the kit"),
        ("plain", "Plain & Simple", "'Plain & Simple', but plain was invited as 'plain'"),
        ("stranger", "Praxis Nord", ""),
        (
            "stranger",
            "KLINIK-FÜR RADIOLOGIE",
            "which looks like the name of 'clinic', who was invited; commit it under",
        ),
        ("stranger", "Plain", "which looks like the name of 'plain', who was invited"),
        ("p1ain", None, "names its contributor 'p1ain', which looks like the name of 'plain', who was invited"),
        ("stranger", "рlаin", "which looks like the name of 'plain'"),  # Cyrillic er and a
        ("stranger", "The Maintainer", ""),
        ("Forge", None, "'Forge' cannot be a contributor's name, since 'forge' means something else in logs"),
        ("stranger", "plaintext", "'plaintext' cannot be a contributor's name"),
    ],
)
def test_nobody_chooses_anothers_name(
    tiny_base: BaseModule, contributor: str, display: str | None, sentence: str
) -> None:
    manifest = make_branch(tiny_base).renamed(ContributorName(contributor, display)).manifest
    invited = {"clinic": "Klinik für Radiologie", "plain": "plain"}
    if not sentence:
        check_name(manifest, invited)
        return
    with pytest.raises(InvalidBranch, match=sentence):
        check_name(manifest, invited)


def test_classes_are_capped(tiny_base: BaseModule) -> None:
    manifest = make_branch(tiny_base).manifest.model_copy(update={"prompts": ("one", "two", "three")})
    check_manifest(manifest, Policy(limits=Limits(classes=3)), 0)
    with pytest.raises(OverLimit, match="the task has 3 classes where this forge admits 2"):
        check_manifest(manifest, Policy(limits=Limits(classes=2)), 0)


@given(used=st.integers(0, 10**6))
@settings(deadline=None)
def test_what_a_contributor_has_in_the_forge_counts(tiny_base: BaseModule, used: int) -> None:
    branch = make_branch(tiny_base)
    size = amounts(branch)["contributor"]
    policy = Policy(limits=Limits(contributor=size + used))
    check_manifest(branch.manifest, policy, used)
    with pytest.raises(OverLimit, match=f"centre with this branch has {size + used + 1} bytes here .*withdraw and"):
        check_manifest(branch.manifest, policy, used + 1)


def test_a_config_is_never_large(tiny_base: BaseModule) -> None:
    manifest = make_branch(tiny_base).manifest

    def with_config(size: int) -> Manifest:
        entry = FileEntry(digest="0" * 64, size=size)
        return manifest.model_copy(update={"files": {**manifest.files, PLUGIN_CONFIG: entry}})

    check_manifest(with_config(LONGEST_CONFIG), Policy(), 0)
    with pytest.raises(OverLimit, match="config has 1048577 bytes"):
        check_manifest(with_config(LONGEST_CONFIG + 1), Policy(), 0)


def files_of(branch: Branch, directory: Path) -> dict[str, Path]:
    branch.save(directory)
    return {name: directory / name for name in BRANCH_FILES}


@pytest.mark.parametrize("kind", get_args(PluginKind))
def test_what_a_centre_builds_is_admitted(tiny_base: BaseModule, tmp_path: Path, kind: PluginKind) -> None:
    branch = make_branch(tiny_base, kind=kind)
    files = files_of(branch, tmp_path)
    tensors = len(tiny_base.sites) * {"lora": 2, "dora": 3, "svd-lora": 3}[kind]
    check_headers(branch.manifest, files, tiny_base, Limits(tensors=tensors))
    with pytest.raises(OverLimit, match=f"the plugin has {tensors} tensors where this forge admits {tensors - 1}"):
        check_headers(branch.manifest, files, tiny_base, Limits(tensors=tensors - 1))
    blobs = BlobStore(tmp_path / "blobs")
    for data in branch.blobs().values():
        blobs.stage(data)
    check = ContentCheck(branch.manifest, tiny_base, Policy(), blobs, Verdicts(tmp_path / "verdicts"))
    check.run()
    assert check.is_known()


@pytest.mark.parametrize("name", BRANCH_FILES)
@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_file_that_the_disk_altered_is_no_fault_of_the_branch(
    tiny_base: BaseModule, tmp_path: Path, name: str, place: int
) -> None:
    branch = make_branch(tiny_base)
    blobs, verdicts = BlobStore(tmp_path / "blobs"), Verdicts(tmp_path / "verdicts")
    check = ContentCheck(branch.manifest, tiny_base, Policy(), blobs, verdicts)
    for data in branch.blobs().values():
        blobs.stage(data)
    path = blobs.located(branch.manifest.files[name].digest)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFile, match="was altered on the forge's disk before it was kept; upload it again"):
        check.run()
    blobs.stage(branch.blobs()[name])
    assert not check.is_known()
    check.run()
    assert check.is_known()


def test_ranks_that_differ_between_layers_are_admitted_as_declared(tiny_base: BaseModule, tmp_path: Path) -> None:
    branch = branch_around(tiny_base, make_ragged(tiny_base))
    files = files_of(branch, tmp_path)
    check_headers(branch.manifest, files, tiny_base, Limits())
    assert Branch.load(tmp_path).plugin.digest == branch.plugin.digest
    plugin = branch.manifest.plugin.model_copy(update={"ranks": {}})
    with pytest.raises(InvalidBranch, match=r"holds .*lora_A as F32 \(1, 32\) where F32 \(3, 32\) is due"):
        check_headers(branch.manifest.model_copy(update={"plugin": plugin}), files, tiny_base, Limits())
    odd = replace(branch.plugin, settings=plugin.model_copy(update={"ranks": {"elsewhere": 1}}))
    with pytest.raises(InvalidBranch, match="has a rank at 'elsewhere', no layer of the base module"):
        branch_around(tiny_base, odd)


def rewrite(path: Path, change: Callable[[Header], Header]) -> None:
    """Change a safetensors header, leave the tensors as they are."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.dumps(change(json.loads(data[8 : 8 + length]))).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])


def declared(manifest: Manifest, files: dict[str, Path]) -> Manifest:
    """The manifest with the sizes that the files have."""
    entries = {name: FileEntry(digest="0" * 64, size=path.stat().st_size) for name, path in files.items()}
    return manifest.model_copy(update={"files": entries})


def first_of(header: Header, factor: str) -> str:
    return next(name for name in header if factor in name)


def other_dtype(header: Header) -> Header:
    header[first_of(header, "lora_A")]["dtype"] = "I32"
    return header


def renamed(header: Header) -> Header:
    name = first_of(header, "lora_B")
    return {key if key != name else "another": value for key, value in header.items()}


def turned(header: Header) -> Header:
    entry = header[first_of(header, "lora_A")]
    entry["shape"] = entry["shape"][::-1]
    return header


def overlapping(header: Header) -> Header:
    """Two tensors of one size in the same bytes, so that the last byte stays where it was."""
    first, second = [name for name in header if "attn" in name and "lora_A" in name][:2]
    header[second]["data_offsets"] = header[first]["data_offsets"]
    return header


def larger(header: Header) -> Header:
    header[first_of(header, "lora_A")]["shape"][0] *= 1000
    return header


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (other_dtype, CorruptFile, "which are not I32"),
        (renamed, InvalidBranch, "holds the tensor 'another'"),
        (turned, InvalidBranch, r"lora_A\.weight as F32 \(\d+, 2\) where F32 \(2, \d+\) is due"),
        (overlapping, CorruptFile, "does not have the bytes that its header says"),
        (larger, CorruptFile, "which are not F32 .2000"),
        (lambda header: [], CorruptFile, "no safetensors header"),
        (lambda header: {"a": 1}, CorruptFile, "no safetensors header"),
        (lambda header: {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]}}, CorruptFile, "the plugin"),
    ],
)
def test_a_header_that_lies_is_refused(
    tiny_base: BaseModule, tmp_path: Path, change: Callable[[Header], Header], error: type[Exception], sentence: str
) -> None:
    branch = make_branch(tiny_base)
    files = files_of(branch, tmp_path)
    rewrite(files[PLUGIN_WEIGHTS], change)
    with pytest.raises(error, match=sentence):
        check_headers(declared(branch.manifest, files), files, tiny_base, Limits())


def test_the_declared_rank_kind_images_and_size_must_be_those_of_the_files(
    tiny_base: BaseModule, tmp_path: Path
) -> None:
    branch = make_branch(tiny_base)
    manifest, files = branch.manifest, files_of(branch, tmp_path)
    wrong = {
        "rank": (manifest.model_copy(update={"plugin": manifest.plugin.model_copy(update={"rank": 3})}), r"\(3, "),
        "kind": (manifest.model_copy(update={"plugin": manifest.plugin.model_copy(update={"kind": "dora"})}), "lacks"),
        "ipc": (manifest.model_copy(update={"ipc": 1}), r"images as F16 \(4, 3, 32, 32\) where F16 \(2, 3, 32, 32\)"),
        "size": (manifest.model_copy(update={"image_size": 64}), "image size is 64 where the base module takes 32"),
        "prompts": (manifest.model_copy(update={"prompts": ("a", "b", "c")}), r"where F16 \(6, 3, 32, 32\) is due"),
    }
    check_headers(manifest, files, tiny_base, Limits())
    for other, sentence in wrong.values():
        with pytest.raises(InvalidBranch, match=sentence):
            check_headers(other, files, tiny_base, Limits())


def test_bytes_that_no_tensor_claims_are_refused(tiny_base: BaseModule, tmp_path: Path) -> None:
    branch = make_branch(tiny_base)
    files = files_of(branch, tmp_path)
    with files[PLUGIN_WEIGHTS].open("ab") as file:
        file.write(bytes(8))
    with pytest.raises(CorruptFile, match="the plugin does not have the bytes that its header says"):
        check_headers(declared(branch.manifest, files), files, tiny_base, Limits())


@pytest.mark.parametrize("name", BRANCH_FILES)
def test_a_file_of_another_size_than_declared_is_not_read(tiny_base: BaseModule, tmp_path: Path, name: str) -> None:
    branch = make_branch(tiny_base)
    files = files_of(branch, tmp_path)
    with files[name].open("ab") as file:
        file.write(b" ")
    with pytest.raises(CorruptFile, match=f"{name} has not the {branch.manifest.files[name].size} bytes"):
        check_headers(branch.manifest, files, tiny_base, Limits())


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_for_a_header_end_in_a_sentence(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    path = tmp_path_factory.mktemp("junk") / "file"
    for data in (junk, len(junk).to_bytes(8, "little") + junk):
        path.write_bytes(data)
        try:
            layout = read_header(path, "the plugin")
        except (CorruptFile, OverLimit):
            continue
        # JSON may be drawn by chance: an empty object is a header of no tensors
        assert layout == {}


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000])
def test_a_deeply_nested_header_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    with pytest.raises(CorruptFile, match="no safetensors header"):
        read_header(path, "the plugin")


def test_nothing_is_allocated_for_what_a_header_claims(tiny_base: BaseModule, tmp_path: Path) -> None:
    branch = make_branch(tiny_base)
    files = files_of(branch, tmp_path)
    claim = 1 << 40
    entry = {"dtype": "F16", "shape": [claim // 2], "data_offsets": [0, claim]}
    header = json.dumps({"images": entry}).encode()
    with files[DISTILLED_FILE].open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        # sparse: as large as the header says, on no disk
        file.truncate(8 + len(header) + claim)
    manifest = declared(branch.manifest, files)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidBranch, match="lacks the tensor 'labels'"):
            check_headers(manifest, files, tiny_base, Limits())
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", [LONGEST_HEADER + 1, 1 << 62, (1 << 64) - 1])
def test_a_header_is_never_long(tmp_path: Path, length: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(length.to_bytes(8, "little"))
    with pytest.raises(OverLimit, match=f"header of the plugin has {length} bytes where this forge admits"):
        read_header(path, "the plugin")


@given(seed=st.integers(0, 100), kind=st.sampled_from(get_args(PluginKind)), size=st.floats(0.01, 1))
@settings(max_examples=20, deadline=None)
def test_the_bound_is_on_the_norm_of_the_weight_change(
    tiny_base: BaseModule, seed: int, kind: PluginKind, size: float
) -> None:
    plugin = make_plugin(tiny_base, seed, size=size, kind=kind)
    ratios = [
        torch.linalg.matrix_norm(plugin.delta(site, tiny_base)) / torch.linalg.matrix_norm(tiny_base.weight(site))
        for site in plugin.sites
    ]
    largest = float(max(ratios))
    check_weight_changes(plugin, tiny_base, largest * (1 + 1e-5))
    with pytest.raises(InvalidBranch, match="times its norm where .* is admitted; train it with a lower rate"):
        check_weight_changes(plugin, tiny_base, largest * (1 - 1e-4))


@pytest.mark.parametrize(("kind", "ratio"), [("lora", "inf"), ("dora", "nan")])
def test_finite_factors_whose_product_is_not_are_refused(tiny_base: BaseModule, kind: PluginKind, ratio: str) -> None:
    plugin = make_plugin(tiny_base, kind=kind)
    site = plugin.sites[0]
    pair = plugin.factors[site]
    huge = replace(pair, down=pair.down * 1e30, up=pair.up * 1e30)
    with pytest.raises(InvalidBranch, match=f"by {ratio} times its norm"):
        check_weight_changes(replace(plugin, factors={**plugin.factors, site: huge}), tiny_base, 1e9)


@given(value=st.floats(-0.9, 1.9), room=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_distilled_pixels_stay_near_those_of_images(tiny_base: BaseModule, value: float, room: float) -> None:
    branch = make_branch(tiny_base)
    images = torch.zeros_like(branch.distilled.images)
    channel = 1
    images[0, channel, 3, 3] = (value - tiny_base.mean[channel]) / tiny_base.std[channel]
    drawn = replace(branch, distilled=replace(branch.distilled, images=images))
    distance = max(-value, value - 1)
    if distance < room - 1e-2:
        check_pixels(drawn.distilled, tiny_base, room)
    elif distance > room + 1e-2:
        with pytest.raises(InvalidBranch, match="distilled pixels lie in .* are admitted"):
            check_pixels(drawn.distilled, tiny_base, room)


def test_a_branch_whose_prompts_hide_characters_is_not_taken_in(tiny_base: BaseModule, tmp_path: Path) -> None:
    """Nothing but the commit at the centre stands before admission, and a hostile centre has another."""
    honest = make_branch(tiny_base)
    prompts = ("benign", "malig\u200bnant")
    distilled = replace(honest.distilled, prompts=prompts)
    entry = FileEntry(digest=distilled.digest, size=len(distilled.to_bytes()))
    files = {**honest.manifest.files, DISTILLED_FILE: entry}
    manifest = honest.manifest.model_copy(update={"prompts": prompts, "files": files})
    forge = Forge.establish(tmp_path / "forge", tiny_base, choose_settings())
    with pytest.raises(InvalidBranch, match=r"holds U\+200B, which nobody sees; mend the task's texts"):
        forge.admit(Branch(manifest, honest.plugin, distilled), tiny_base)
    assert forge.ledger.counts() == (0, 0)
    forge.close()
