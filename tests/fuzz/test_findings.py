"""What fuzzing found, one case each: every one of these once came out as another exception, or as an unsound value."""

import json
from base64 import encodebytes
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Array

from medforge.aggregator.forge.headers import read_header
from medforge.aggregator.ledger.commit import Commit
from medforge.branch import Branch
from medforge.distilled import DistilledDataset
from medforge.errors import CorruptFile, InvalidBranch, MedForgeError
from medforge.files import canonical_json, sha256_bytes
from medforge.forge_item import CHANGE_FILE, GATE_FILE, ITEM_FILE, ForgeItem, Mixture, WeightChange
from medforge.manifest import BRANCH_FILES, Manifest
from medforge.peft_format import CONFIG_FILE, WEIGHTS_FILE
from medforge.plugin import Plugin
from medforge.proto.certificates import parse_certificate, signing_key
from medforge.proto.flower import branch_from_record, branch_to_record
from medforge.prototype_gate import PrototypeGate
from medforge.tensors import dump_tensors, parse_tensors
from tests.fuzz.artefacts import CONFIG_PART, DISTILLED_PART, WEIGHTS_PART, branches, items, joined, smallest_base
from tests.fuzz.bounds import bounded
from tests.fuzz.targets import TARGETS, check_sentence

DEEP = "[" * 100_000


def refused(kind: type[MedForgeError], sentence: str, decode: Callable[[], object]) -> None:
    with bounded(), pytest.raises(kind, match=sentence) as error:
        decode()
    check_sentence(error.value)


def tensor_file(shape: str = "[1]", dtype: str = "F32", data: bytes = bytes(4), metadata: str = '"{}"') -> bytes:
    entry = f'"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{len(data)}]}}'
    return joined(f'{{"__metadata__":{{"medforge":{metadata}}},{entry}}}'.encode(), data)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (tensor_file(metadata=f'"{DEEP}"'), "nested too deeply"),
        (tensor_file(metadata='"[]"'), "its metadata are no object"),
        (tensor_file(metadata='"{\\"prompts\\":[NaN]}"'), "not JSON compliant"),
        (tensor_file(metadata='"{\\"prompts\\":[\\"\\\\ud800\\"]}"'), "surrogates not allowed"),
        (tensor_file("[0,4611686018427387904,8]", data=b""), "has the shape"),
        (tensor_file("[9223372036854775808,0]", data=b""), "has the shape"),
        (tensor_file(f"[{','.join('1' * 200)}]"), "has no usable shape"),
        (tensor_file(dtype="C64", data=bytes(8)), "is of the dtype 'C64'"),
        (joined(b'{"a":' + DEEP.encode(), b""), "not a whole safetensors file"),
        ((1 << 60).to_bytes(8, "little") + b"{}", "it ends within its header"),
        ((5 << 20).to_bytes(8, "little") + b"[" * (5 << 20), "it is longer than"),
    ],
)
def test_a_header_is_checked_before_it_is_believed(file: bytes, sentence: str) -> None:
    refused(CorruptFile, sentence, lambda: parse_tensors(file, "a file"))


@pytest.mark.parametrize("offsets", ["[]", "[0,4,8]", '"04"', "[0.5,4.5]", "[0,[4]]", "{}"])
def test_the_offsets_of_a_header_are_not_believed(tmp_path: Path, offsets: str) -> None:
    file = tensor_file().replace(b"[0,4]", offsets.encode())
    length = int.from_bytes(file[:8], "little") + len(file) - len(tensor_file())
    (tmp_path / "file").write_bytes(length.to_bytes(8, "little") + file[8:])
    refused(CorruptFile, "has no safetensors header", lambda: read_header(tmp_path / "file", "the plugin"))


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        # counting them would take 64 GiB
        ([0, 1, 0, 2**33], r"labels must lie in 0…1"),
        ([0, 1, 0, 2**62], r"labels must lie in 0…1"),
        ([0, 1, 0, -1], r"labels must lie in 0…1"),
        ([[0, 1], [0, 1], [0, 1], [0, 1]], r"4 distilled images have labels of shape \(4, 2\)"),
        (0, r"4 distilled images have labels of shape \(\)"),
        ([0, 1], r"4 distilled images have labels of shape \(2,\)"),
    ],
)
def test_labels_are_checked_before_they_are_counted(labels: list[int], sentence: str) -> None:
    data = replace(branches()[0].distilled, labels=torch.tensor(labels)).to_bytes()
    refused(InvalidBranch, sentence, lambda: DistilledDataset.from_bytes(data))


def test_prompts_are_texts() -> None:
    distilled = branches()[0].distilled
    data = dump_tensors({"images": distilled.images, "labels": distilled.labels}, {"prompts": [["a"] * 3, None]})
    refused(InvalidBranch, "a class prompt that is no text", lambda: DistilledDataset.from_bytes(data))


@pytest.mark.parametrize(
    ("spelling", "sentence"),
    [
        ('"lora_alpha":Infinity', "no usable adapter_config.json"),
        ('"lora_alpha":1e999', "no usable adapter_config.json"),
        (f'"lora_alpha":{DEEP}', "no usable adapter_config.json"),
        ('"r":1,"r":2', "no usable adapter_config.json"),
        ('"base_model_name_or_path":"\\u001b[2J"', "does not say which base module"),
        (f'"bias":"{"x" * 5000}\\u001b[2J"', "is no plain LoRA, DoRA or SVD-LoRA adapter"),
    ],
)
def test_an_adapter_config_is_not_believed(spelling: str, sentence: str) -> None:
    files = branches()[0].plugin.files()
    name = json.loads(f"[{spelling.partition(':')[0]}]")[0]
    fields = {key: value for key, value in json.loads(files[CONFIG_FILE]).items() if key != name}
    config = canonical_json(fields)[:-1] + f",{spelling}}}".encode()
    refused(InvalidBranch, sentence, lambda: Plugin.parse({**files, CONFIG_FILE: config}))


def test_factors_are_floats_that_come_once() -> None:
    files = branches()[0].plugin.files()
    tensors, _ = parse_tensors(files[WEIGHTS_FILE], "the plugin")
    name, factor = next(iter(tensors.items()))
    for change in (
        {name: factor.long()},
        {name.removeprefix("base_model.model."): factor.clone()},
        {"\x1b" * 5000: torch.ones(1)},
    ):
        changed = {**files, WEIGHTS_FILE: dump_tensors({**tensors, **change})}
        refused(InvalidBranch, "which is no lora factor", partial(Plugin.parse, changed))


@pytest.mark.parametrize(
    ("fields", "spelling", "sentence"),
    [
        ({"validation": {"acc": "@"}}, "NaN", "not JSON compliant"),
        ({"validation": {"acc": "@"}}, "1e999", "not JSON compliant"),
        ({"seed": "@"}, "9" * 4000, "manifest's seed is wrong"),
        ({"training_images": "@"}, "9" * 400, "manifest's training_images is wrong"),
        ({"base_spec": "@"}, '"\\u001b[2J"', "manifest's base_spec is wrong"),
        ({"\x1b[2J" * 1000: "@"}, "1", "is wrong: Extra inputs are not permitted; commit the branch again"),
        # reporting every wrong value took half a gigabyte for a megabyte
        ({"prompts": "@"}, f"[{'0,' * 400_000}0]", "holds more values than a branch has"),
        ({"software": "@"}, "{" + ",".join(f'"{n}":"1"' for n in range(1000)) + "}", "manifest's software is wrong"),
    ],
)
def test_a_manifest_is_not_believed(fields: dict[str, object], spelling: str, sentence: str) -> None:
    manifest = canonical_json({**branches()[0].manifest.model_dump(mode="json"), **fields})
    data = manifest.replace(b'"@"', spelling.encode())
    refused(InvalidBranch, sentence, lambda: Manifest.parse(data))


def sealed(blobs: dict[str, bytes], **fields: object) -> bytes:
    """The manifest of a contributor whose digests are right."""
    files = {name: {"digest": sha256_bytes(data), "size": len(data)} for name, data in blobs.items()}
    return canonical_json({**branches()[0].manifest.model_dump(mode="json"), "files": files, **fields})


def assembled(manifest: bytes, blobs: dict[str, bytes]) -> Branch:
    return Branch.assemble(Manifest.parse(manifest), blobs)


def test_what_is_admitted_keeps_its_bytes() -> None:
    """Another spelling of the same plugin was admitted, but its blobs had other digests than the manifest's."""
    blobs = branches()[0].blobs()
    tensors, _ = parse_tensors(blobs[WEIGHTS_PART], "the plugin")
    config = json.loads(blobs[CONFIG_PART])
    for name, data in [
        (CONFIG_PART, json.dumps(config).encode()),
        (CONFIG_PART, canonical_json({**config, "surprise": None})),
        (WEIGHTS_PART, dump_tensors({name: tensor.half() for name, tensor in tensors.items()})),
        (DISTILLED_PART, blobs[DISTILLED_PART].replace(b'{\\"prompts', b'{\\"other\\":1,\\"prompts')),
    ]:
        if name == DISTILLED_PART:
            length = int.from_bytes(blobs[name][:8], "little") + len(data) - len(blobs[name])
            data = length.to_bytes(8, "little") + data[8:]
        changed = {**blobs, name: data}
        refused(InvalidBranch, f"{name} is not in its canonical", partial(assembled, sealed(changed), changed))
    # a field that may change what the weights mean is refused by its name
    changed = {**blobs, CONFIG_PART: canonical_json({**config, "surprise": 1})}
    refused(InvalidBranch, "surprise is 1", partial(assembled, sealed(changed), changed))


def test_a_manifest_says_the_image_size() -> None:
    blobs = branches()[0].blobs()
    sentence = "does not describe its plugin and distilled dataset"
    refused(InvalidBranch, sentence, lambda: assembled(sealed(blobs, image_size=224), blobs))


def certificate(find: bytes, replace_with: bytes) -> bytes:
    """A client's certificate with some bytes of its DER replaced by as many others."""
    (der,) = TARGETS["certificate"].seeds[0]
    assert der.count(find) == 1
    body = encodebytes(der.replace(find, replace_with))
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


def test_a_certificate_is_not_believed() -> None:
    odd = parse_certificate(certificate(b"medforge:ed25519:", b"medforge:ed25519:"), "a certificate")
    assert signing_key(odd) is not None
    key = TARGETS["signature"].seeds[0][0].hex().encode()
    assert signing_key(parse_certificate(certificate(key, b"x" * 64), "a certificate")) is None
    # the object identifier of the alternative names, made that of the basic constraints, which are there already
    twice = certificate(b"\x06\x03\x55\x1d\x11", b"\x06\x03\x55\x1d\x13")
    refused(CorruptFile, "is not a certificate", lambda: parse_certificate(twice, "a certificate"))
    broken = certificate(b"\x86\x51medforge", b"\x00\x51medforge")
    refused(CorruptFile, "is not a certificate", lambda: parse_certificate(broken, "a certificate"))


@pytest.mark.parametrize("spelling", [b" ", b"NaN"])
def test_a_commit_is_the_bytes_it_was_read_from(spelling: bytes) -> None:
    ((content,),) = TARGETS["commit"].seeds
    other = content + spelling if spelling == b" " else content.replace(b'"loss":0.5', b'"loss":NaN')
    refused(CorruptFile, "commit .* (canonical|cannot be read)", lambda: Commit.parse(other, sha256_bytes(other)))


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def archive() -> bytes:
    buffer = BytesIO()
    np.savez(buffer, a=np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        archive(),
        b"PK\x03\x04" + b"garbage",
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (274877906944,), }"),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1), }", bytes(4)),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", bytes(8)),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "(" * 3000),
        npy("{'descr': ["),
        npy("{'descr': '>i8', 'fortran_order': False, 'shape': (4,), }", bytes(32)),
        npy("{'descr': '<i8', 'fortran_order': False, 'shape': (4,), }", bytes(31)),
        b"",
    ],
)
def test_a_flower_array_is_not_believed(data: bytes) -> None:
    record = branch_to_record(branches()[0])
    record.array_records["distilled"]["labels"] = Array("int64", (4,), "numpy.ndarray", data)
    sentence = "array labels of the reply's distilled record"
    refused(InvalidBranch, sentence, lambda: branch_from_record(record))


def test_an_array_of_flowers_in_fortran_order_is_read() -> None:
    branch = branches()[0]
    record = branch_to_record(branch)
    for name, array in record.array_records["plugin"].items():
        buffer = BytesIO()
        np.save(buffer, np.asfortranarray(array.numpy()))
        record.array_records["plugin"][name] = Array(array.dtype, array.shape, array.stype, buffer.getvalue())
    assert branch_from_record(record).blobs() == branch.blobs()


def item_with(change: dict[str, object]) -> dict[str, bytes]:
    files = next(item for item in items() if GATE_FILE in item.files()).files()
    return {**files, ITEM_FILE: canonical_json({**json.loads(files[ITEM_FILE]), **change})}


MEMBER = {"branch": branches()[0].digest, "coefficient": 1.0}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"members": []}, "one or more different branches"),
        # the same plugin read once for every time it is named
        ({"members": [MEMBER] * 10_000}, "one or more different branches"),
        ({"members": [MEMBER | {"coefficient": 10**400}]}, "int too large"),
        ({"members": [MEMBER | {"coefficient": "nan"}]}, "a coefficient is no number"),
        ({"members": [MEMBER | {"branch": "\x1b" * 5000}]}, "is no digest"),
        ({"level": "elsewhere"}, "it has no level 'elsewhere'"),
        ({"level": []}, "it has no level"),
    ],
)
def test_a_forge_items_card_is_not_believed(change: dict[str, object], sentence: str) -> None:
    refused(CorruptFile, sentence, lambda: ForgeItem.parse(item_with(change)))


def test_a_forge_items_card_is_json_of_bounded_depth() -> None:
    refused(CorruptFile, "nested too deeply", lambda: ForgeItem.parse({ITEM_FILE: DEEP.encode()}))
    files = item_with({})
    card = files[ITEM_FILE].replace(b'"coefficient":0.5', b'"coefficient":NaN')
    refused(CorruptFile, "not JSON compliant", lambda: ForgeItem.parse({**files, ITEM_FILE: card}))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"prototypes": torch.zeros(2)}, "do not fit"),
        ({"prototypes": torch.zeros(0, 2), "owners": torch.zeros(0, dtype=torch.int64)}, "do not fit"),
        ({"metric": torch.eye(3)}, "do not fit"),
        ({"owners": torch.tensor([0, -1])}, "values that cannot be used"),
        ({"owners": torch.tensor([0.0, 1.0])}, "does not hold float32"),
        ({"metric": torch.eye(2) * float("nan")}, "values that cannot be used"),
    ],
)
def test_a_gate_is_not_believed(change: dict[str, torch.Tensor], sentence: str) -> None:
    gate = PrototypeGate.fit([torch.eye(2)], [torch.tensor([0, 1])])
    data = dump_tensors({"prototypes": gate.prototypes, "owners": gate.owners, "metric": gate.metric} | change)
    refused(InvalidBranch, sentence, lambda: PrototypeGate.from_bytes(data))


def test_a_gate_chooses_among_the_members_and_fits_the_base() -> None:
    files = item_with({})
    far = PrototypeGate(torch.eye(2), torch.tensor([0, 7]), torch.eye(2)).to_bytes()
    refused(CorruptFile, "its gate chooses among 8 of 1", lambda: ForgeItem.parse({**files, GATE_FILE: far}))
    item = ForgeItem.parse(files)
    refused(InvalidBranch, "measures 2 features where the base module has 8", lambda: item.check(smallest_base()))


def test_a_forge_items_plugins_fit_the_base() -> None:
    mixture = next(item for item in items() if isinstance(item, Mixture))
    mixture.check(smallest_base())
    plugin = mixture.members[0].plugin
    site, factors = next(iter(plugin.factors.items()))
    odd = replace(plugin, factors={**plugin.factors, site: replace(factors, down=factors.down[:, :3])})
    item = replace(mixture, members=(replace(mixture.members[0], plugin=odd),))
    refused(InvalidBranch, "factors at", lambda: item.check(smallest_base()))


def test_a_weight_change_is_not_believed() -> None:
    files = next(item for item in items() if isinstance(item, WeightChange)).files()
    whole = ForgeItem.parse(files)
    assert isinstance(whole, WeightChange)
    whole.check(smallest_base())
    site, change = next(iter(whole.changes.items()))
    for odd in (change.double(), change[0], change[None]):
        data = dump_tensors({**whole.changes, site: odd})
        refused(CorruptFile, "holds no float32 matrix at", lambda d=data: ForgeItem.parse({**files, CHANGE_FILE: d}))
    refused(CorruptFile, "at 'any site'", lambda: ForgeItem.parse({**files, CHANGE_FILE: dump_tensors({})}))
    refused(CorruptFile, "not whole", lambda: ForgeItem.parse({ITEM_FILE: files[ITEM_FILE]}))
    for base in ("../elsewhere", None, [1]):
        card = canonical_json({"kind": "weights", "base": base})
        refused(CorruptFile, "is no digest", lambda c=card: ForgeItem.parse({**files, ITEM_FILE: c}))
    for changed, sentence in (
        ({site: change[:, 1:]}, "change at .* where .* are due"),
        ({site: change / 0}, "finite numbers are due"),
        ({"elsewhere": change}, "first difference: 'elsewhere'"),
    ):
        item = replace(whole, changes={**whole.changes, **changed})
        refused(InvalidBranch, sentence, lambda i=item: i.check(smallest_base()))


def test_a_sentence_is_one_line_of_bounded_length() -> None:
    error = InvalidBranch("first\nsecond\x1b[2J\u2028third" + "x" * 100_000)
    check_sentence(error)
    assert "first" in str(error)
    assert BRANCH_FILES == (CONFIG_PART, WEIGHTS_PART, DISTILLED_PART)
