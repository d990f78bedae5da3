"""Every decoder that reads a peer's bytes, and what must hold whatever the bytes are.

A decoder either gives a value, which then survives a round trip to the byte, or raises a MedForgeError whose sentence
can be shown: one printable line. The same targets serve Hypothesis (`test_decoders`) and libFuzzer (`benchmarks.fuzz`).
"""

import json
import unicodedata
from base64 import encodebytes
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

import grpc
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from google.protobuf.message import DecodeError

from medforge.aggregator.blobs.names import check_digest
from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.forge.admission import check_manifest
from medforge.aggregator.forge.content_check import ContentCheck
from medforge.aggregator.forge.headers import read_header
from medforge.aggregator.forge.policy import Admission, Policy
from medforge.aggregator.forge.verdicts import Verdicts
from medforge.aggregator.identity.authority import Authority
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.merge import MethodSettings
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.declared_task import DeclaredTask
from medforge.distilled import DistilledDataset
from medforge.errors import LONGEST_SENTENCE, MedForgeError
from medforge.files import canonical_json, sha256_bytes
from medforge.forge_item import CHANGE_FILE, GATE_FILE, ITEM_FILE, ForgeItem, Routed
from medforge.manifest import Manifest
from medforge.peft_format import CONFIG_FILE, WEIGHTS_FILE
from medforge.plugin import Plugin
from medforge.proto import forge_pb2 as pb
from medforge.proto.certificates import common_name, digest_of, now, parse_certificate, signing_key
from medforge.proto.codec import (
    commit_from_message,
    commit_to_message,
    receipt_from_message,
    receipt_to_message,
    tag_from_message,
    tag_to_message,
    task_from_message,
    task_to_message,
)
from medforge.proto.flower import branch_from_record, branch_to_record
from medforge.proto.receipt import Receipt
from medforge.proto.signed_tag import SignedTag
from medforge.proto.signed_task import SignedTask
from medforge.proto.signing import RECEIPT, SUBMIT, TAG, TASK, public_bytes, sign, verify
from medforge.proto.statements import receipt_statement, tag_statement, task_statement
from medforge.proto.status import error_of
from medforge.prototype_gate import PrototypeGate
from medforge.tensors import dump_tensors, parse_tensors
from tests.fuzz import artefacts
from tests.fuzz.mutations import Parts

_TASK = DeclaredTask.make("lung", [("n", "normal lung"), ("t", "lung tumor")], "CT")
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
# the random plugins of tests change the weights more than trained ones
_POLICY = Policy(admission=Admission(weight_change=100.0, brightness=10.0))
# one line that no terminal or log takes for more: no control character, line separator or half a surrogate pair
_UNFIT = {"Cc", "Zl", "Zp", "Cs"}


@dataclass(frozen=True)
class Target:
    """A decoder: valid artefacts as parts, and how parts are decoded and what comes out is checked."""

    name: str
    make: Callable[[], tuple[Parts, ...]]
    decode: Callable[[Parts], None]

    @cached_property
    def seeds(self) -> tuple[Parts, ...]:
        """Valid artefacts."""
        return self.make()

    def run(self, parts: Parts) -> bool:
        """Decode parts; say whether they were admitted. Raises unless they were, or were refused with a sentence."""
        try:
            self.decode(parts)
        except MedForgeError as error:
            check_sentence(error)
            return False
        return True


def check_sentence(error: MedForgeError) -> None:
    """Check that an error can be shown and sent: one line of bounded length that no terminal takes for a command."""
    sentence = str(error)
    assert 0 < len(sentence) <= LONGEST_SENTENCE, f"{len(sentence)} characters: {sentence[:200]!r}"
    assert not any(unicodedata.category(character) in _UNFIT for character in sentence), repr(sentence)


def _tensors(parts: Parts) -> None:
    prefix, header, data = parts
    tensors, metadata = parse_tensors((prefix or artefacts.joined(header, b"")[:8]) + _padded(header) + data, "a file")
    again, same = parse_tensors(dump_tensors(tensors, metadata), "a file")
    assert same == metadata
    assert set(again) == set(tensors)
    assert all(_same(again[name], tensor) for name, tensor in tensors.items())


def _padded(header: bytes) -> bytes:
    return artefacts.joined(header, b"")[8:]


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one.view(torch.uint8), other.view(torch.uint8))


def _distilled(parts: Parts) -> None:
    distilled = DistilledDataset.from_bytes(artefacts.joined(*parts))
    assert 0 <= distilled.ipc <= len(distilled) == len(distilled.images)
    data = distilled.to_bytes()
    assert DistilledDataset.from_bytes(data).to_bytes() == data


def _statistics(parts: Parts) -> None:
    statistics = ClassStatistics.from_bytes(artefacts.joined(*parts))
    statistics.check(artefacts.smallest_base(), 2)
    assert bool(statistics.means.isfinite().all())
    data = statistics.to_bytes()
    assert ClassStatistics.from_bytes(data).to_bytes() == data


def _plugin(parts: Parts) -> None:
    config, *tensors = parts
    files = Plugin.parse({CONFIG_FILE: config, WEIGHTS_FILE: artefacts.joined(*tensors)}).files()
    assert Plugin.parse(files).files() == files


def _manifest(parts: Parts) -> None:
    manifest = Manifest.parse(parts[0])
    assert manifest.to_bytes() == parts[0]
    assert manifest.digest == sha256_bytes(parts[0])


def _branch(parts: Parts) -> None:
    files = artefacts.Files.of(parts)
    _admitted(files.manifest, files.blobs)


def _sealed_branch(parts: Parts) -> None:
    """As `_branch`, of a contributor who lies about everything but the digests: those are made to fit."""
    files = artefacts.Files.of(parts)
    _admitted(sealed_manifest(files), files.blobs)


def sealed_manifest(files: artefacts.Files) -> bytes:
    """The manifest, with the files' own digests in it where it can hold any."""
    entries = {name: {"digest": sha256_bytes(data), "size": len(data)} for name, data in files.blobs.items()}
    try:
        return canonical_json({**json.loads(files.manifest), "files": entries})
    except (ValueError, TypeError, RecursionError):
        return files.manifest


def _admitted(manifest: bytes, blobs: dict[str, bytes]) -> None:
    branch = Branch.assemble(Manifest.parse(manifest), blobs)
    assert branch.digest == sha256_bytes(manifest)
    assert branch.blobs() == blobs
    branch.check(artefacts.smallest_base())
    # whatever was admitted once can be folded: it goes to the strategy as a record
    assert branch_from_record(branch_to_record(branch)).blobs() == blobs
    for change in branch.plugin.deltas(artefacts.smallest_base()).values():
        assert change.dtype == torch.float32


def _header(parts: Parts) -> None:
    prefix, header, data = parts
    with NamedTemporaryFile() as file:
        Path(file.name).write_bytes((prefix or artefacts.joined(header, b"")[:8]) + _padded(header) + data)
        layout = read_header(Path(file.name), "the plugin")
    assert all(isinstance(size, int) for _, shape in layout.values() for size in shape)


def _admission(parts: Parts) -> None:
    """The checks of a forge, in its order, on files of a contributor who lies about everything but the digests."""
    files, base = artefacts.Files.of(parts), artefacts.smallest_base()
    content = sealed_manifest(files)
    manifest = Manifest.parse(content)
    check_manifest(manifest, _POLICY, 0)
    with TemporaryDirectory() as directory:
        blobs = BlobStore(Path(directory))
        for data in files.blobs.values():
            blobs.stage(data)
        ContentCheck(manifest, base, _POLICY, blobs, Verdicts(Path(directory) / "verdicts")).run()
    branch = Branch.assemble(manifest, files.blobs)
    assert all(change.isfinite().all() for change in branch.plugin.deltas(base).values())


def _record(parts: Parts) -> None:
    manifest, config, names, images, labels, *arrays = parts
    texts = {"manifest": _text(manifest), "adapter_config": _text(config)}
    keys = _text(names).split("\n")
    record = RecordDict(
        {
            "manifest": ConfigRecord({**texts}),
            "distilled": ArrayRecord({"images": _array(images), "labels": _array(labels)}),
            "plugin": ArrayRecord({key: _array(array) for key, array in zip(keys, arrays, strict=False)}),
        }
    )
    branch = branch_from_record(record)
    assert branch_from_record(branch_to_record(branch)).blobs() == branch.blobs()


def _record_parts() -> tuple[Parts, ...]:
    return tuple(_record_parts_of(branch) for branch in artefacts.branches())


def _record_parts_of(branch: Branch) -> Parts:
    record = branch_to_record(branch)
    plugin, distilled = record.array_records["plugin"], record.array_records["distilled"]
    texts = record.config_records["manifest"]
    return (
        str(texts["manifest"]).encode(),
        str(texts["adapter_config"]).encode(),
        "\n".join(plugin).encode(),
        distilled["images"].data,
        distilled["labels"].data,
        *(array.data for array in plugin.values()),
    )


def _text(data: bytes) -> str:
    # strings cross Flower's wire as UTF-8, so that nothing else comes out of it
    return data.decode(errors="replace")


def _array(data: bytes) -> Array:
    return Array("float32", (1,), "numpy.ndarray", data)


def _item(parts: Parts) -> None:
    card, gate, *plugin = parts
    files = {CONFIG_FILE: plugin[0], WEIGHTS_FILE: artefacts.joined(*plugin[1:])}
    try:
        members = [member["branch"] for member in json.loads(card)["members"]][:10]
    except (ValueError, TypeError, KeyError, RecursionError):
        members = []
    directories = ["plugin", *(f"members/{member}" for member in members)]
    received = {f"{directory}/{name}": data for directory in directories for name, data in files.items()}
    item = ForgeItem.parse({ITEM_FILE: card, GATE_FILE: gate, CHANGE_FILE: files[WEIGHTS_FILE]} | received)
    again = ForgeItem.parse(item.files())
    assert again.digest == item.digest
    assert item.base_fingerprint == again.base_fingerprint
    assert all(".." not in path and not path.startswith("/") for path in item.files())


def _item_parts() -> tuple[Parts, ...]:
    parts = []
    for item in artefacts.items():
        files = item.files()
        config = next((data for path, data in files.items() if path.endswith(CONFIG_FILE)), b"")
        weights = next(data for path, data in files.items() if path.endswith((WEIGHTS_FILE, CHANGE_FILE)))
        parts.append((files[ITEM_FILE], files.get(GATE_FILE, b""), config, *artefacts.split(weights)))
    return tuple(parts)


def _routed(parts: Parts) -> None:
    card, task, *tensors = parts
    expert = {CONFIG_FILE: tensors[2], WEIGHTS_FILE: artefacts.joined(*tensors[3:])}
    files = {
        ITEM_FILE: card,
        "tasks/lung/task.json": task,
        "tasks/lung/spread.safetensors": artefacts.joined(*tensors[:2]),
        f"tasks/lung/expert/{ITEM_FILE}": b'{"kind":"fused"}',
        **{f"tasks/lung/expert/plugin/{name}": data for name, data in expert.items()},
    }
    item = ForgeItem.parse(files)
    assert isinstance(item, Routed)
    assert ForgeItem.parse(item.files()).digest == item.digest
    assert all(".." not in path and not path.startswith("/") for path in item.files())
    rows = torch.zeros(1, item.tasks[0].spread.means.shape[1])
    assert item.route(rows).probabilities.shape == (1, 1)
    assert not item.tasks[0].spread.nearest(rows).isnan().any()


def _routed_parts() -> tuple[Parts, ...]:
    files = artefacts.routed().files()
    place = "tasks/lung"
    config, weights = (files[f"{place}/expert/plugin/{name}"] for name in (CONFIG_FILE, WEIGHTS_FILE))
    spread = artefacts.split(files[f"{place}/spread.safetensors"])
    return ((files[ITEM_FILE], files[f"{place}/task.json"], *spread, config, *artefacts.split(weights)),)


def _gate(parts: Parts) -> None:
    gate = PrototypeGate.from_bytes(artefacts.joined(*parts))
    data = gate.to_bytes()
    assert PrototypeGate.from_bytes(data).to_bytes() == data
    chosen = gate.choose(torch.zeros(1, gate.metric.shape[0]))
    assert 0 <= int(chosen) < gate.members


def _gate_parts() -> tuple[Parts, ...]:
    return tuple(artefacts.split(item.files()[GATE_FILE]) for item in artefacts.items() if GATE_FILE in item.files())


def _commit(parts: Parts) -> None:
    commit = Commit.parse(parts[0], sha256_bytes(parts[0]))
    assert commit.content == parts[0]


def _commit_parts() -> tuple[Parts, ...]:
    commit = Commit(
        parent=None,
        arrival=1,
        members=(1,),
        contributor="centre",
        task="task",
        branch="a" * 64,
        method=MethodSettings(),
        coefficients={"a" * 64: 1.0},
        metrics={"task": TaskScore(loss=0.5, acc=1.0)},
        seed=0,
        software={"medforge": "1"},
        base="b" * 64,
        compute="cpu fp32",
        item="c" * 64,
        item_files={ITEM_FILE: "d" * 64},
    )
    return ((commit.content,),)


def _receipt(parts: Parts) -> None:
    message = pb.Receipt()
    try:
        message.ParseFromString(parts[0])
    except DecodeError:
        return  # gRPC refuses it before anybody sees it
    receipt = receipt_from_message(message, parts[1])
    assert receipt_from_message(receipt_to_message(receipt), parts[1]) == receipt
    assert Receipt.model_validate_json(receipt.to_bytes()) == receipt


def _sealed_receipt(parts: Parts) -> None:
    """As `_receipt`, from a forge that signs whatever it says."""
    message = pb.Receipt()
    try:
        message.ParseFromString(parts[0])
    except DecodeError:
        return
    statement = receipt_statement(message.forge, message.arrival, message.branch, message.accepted_at)
    message.signature = sign(_KEY, RECEIPT, statement)
    _receipt((message.SerializeToString(), public_bytes(_KEY)))


def _receipt_parts() -> tuple[Parts, ...]:
    forge, accepted_at = "0f6c0b0e-8f0d-4b62-9a5c-0a7f0e5b1c2d", "2026-01-02T03:04:05.678Z"
    receipt = Receipt.issue(_KEY, forge, 7, "a" * 64, accepted_at)
    return ((receipt_to_message(receipt).SerializeToString(), public_bytes(_KEY)),)


def _task_message(parts: Parts) -> None:
    """A forge's declaration, from one that signs whatever it says."""
    message = pb.DeclaredTask(content=parts[0])
    message.signature = sign(_KEY, TASK, task_statement("f", sha256_bytes(parts[0])))
    signed = task_from_message(message, "f", public_bytes(_KEY))
    assert task_to_message(signed) == message
    assert signed.task.to_bytes() == parts[0]


def _tag_message(parts: Parts) -> None:
    """A forge's tag, from one that signs whatever it says."""
    message = pb.Tag()
    try:
        message.ParseFromString(parts[0])
    except DecodeError:
        return
    said = (message.name, message.commit, message.release, message.notes, message.tagged_at)
    message.signature = sign(_KEY, TAG, tag_statement("f", *said))
    tag = tag_from_message(message, "f", public_bytes(_KEY))
    assert tag_from_message(tag_to_message(tag), "f", public_bytes(_KEY)) == tag
    assert SignedTag.model_validate_json(tag.model_dump_json()) == tag


def _signed_task(parts: Parts) -> None:
    signed = SignedTask.parse(parts[0], "a file")
    assert SignedTask.parse(canonical_json(signed.document()), "a file") == signed


def _task_parts() -> tuple[Parts, ...]:
    return ((_TASK.to_bytes(),), (DeclaredTask.make("two", [("0", "no"), ("1", "yes")]).to_bytes(),))


def _tag_parts() -> tuple[Parts, ...]:
    tag = SignedTag.issue(_KEY, "f", "v1.0", "a" * 64, True, "for all\nof them", "2026-01-02T03:04:05.678Z")
    return ((tag_to_message(tag).SerializeToString(),),)


def _signed_task_parts() -> tuple[Parts, ...]:
    return ((canonical_json(SignedTask.issue(_KEY, "f", _TASK).document()),),)


def _commit_message(parts: Parts) -> None:
    message = pb.CommitRecord()
    try:
        message.ParseFromString(parts[0])
    except DecodeError:
        return
    number, content = commit_from_message(message)
    again = commit_to_message(number, content)
    assert (again.number, again.digest, again.content) == (message.number, message.digest, message.content)


def _commit_message_parts() -> tuple[Parts, ...]:
    return ((commit_to_message(3, b'{"task":"lung"}').SerializeToString(),),)


class _Ended(grpc.RpcError):  # type: ignore[misc]
    """A call that ended with what a hostile server may send."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def code(self) -> grpc.StatusCode:
        codes = list(grpc.StatusCode)
        return codes[sum(self._parts[0]) % len(codes)]

    def details(self) -> str | None:
        return _text(self._parts[1]) or None

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...] | None:
        key, value = _text(self._parts[2]), self._parts[3]
        # of a key that ends so gRPC gives bytes
        return ((key, value if key.endswith("-bin") else _text(value)),) * 2 if key else None


def _status(parts: Parts) -> None:
    raise error_of(_Ended(parts), "forge.example:50051")


def _status_parts() -> tuple[Parts, ...]:
    return ((b"\3", b"a sentence; mend it", b"medforge-error", b"InvalidBranch"), (b"\5", b"", b"trace-bin", b"\0"))


def _signature(parts: Parts) -> None:
    public, signature, branch = parts
    verify(public, SUBMIT, {"forge": "f", "branch": _text(branch)}, signature)
    assert len(public) == 32
    assert len(signature) == 64


def _signature_parts() -> tuple[Parts, ...]:
    return ((public_bytes(_KEY), sign(_KEY, SUBMIT, {"forge": "f", "branch": "a" * 64}), b"a" * 64),)


def _certificate(parts: Parts) -> None:
    pem = b"-----BEGIN CERTIFICATE-----\n" + encodebytes(parts[0]) + b"-----END CERTIFICATE-----\n"
    certificate = parse_certificate(pem, "what the caller presented")
    assert isinstance(common_name(certificate), str)
    assert signing_key(certificate) is None or len(signing_key(certificate) or b"") == 32
    assert len(digest_of(certificate)) == 64


def _certificate_parts() -> tuple[Parts, ...]:
    with TemporaryDirectory() as directory:
        authority = Authority.of(Path(directory), "0f6c0b0e-8f0d-4b62-9a5c-0a7f0e5b1c2d")
        client = authority.issue_client("centre", public_bytes(_KEY), now() + timedelta(days=1))
        pems = [client[1], authority.issue_server()[1], authority.pem]
    return tuple((parse_certificate(pem, "a certificate").public_bytes(Encoding.DER),) for pem in pems)


def _digest(parts: Parts) -> None:
    digest = check_digest(_text(parts[0]))
    assert len(digest) == 64
    assert int(digest, 16) >= 0


def _distilled_parts() -> tuple[Parts, ...]:
    return tuple(artefacts.branch_parts(branch)[4:] for branch in artefacts.branches())


def _telling() -> tuple[Parts, ...]:
    return tuple(map(artefacts.branch_parts, artefacts.telling_branches()))


def _branches() -> tuple[Parts, ...]:
    return tuple(map(artefacts.branch_parts, artefacts.branches()))


TARGETS = {
    target.name: target
    for target in (
        Target("tensors", lambda: tuple((b"", *parts[2:4]) for parts in _branches()), _tensors),
        Target("distilled", _distilled_parts, _distilled),
        Target("plugin", lambda: tuple(parts[1:4] for parts in _branches()), _plugin),
        Target("manifest", lambda: tuple(parts[:1] for parts in _branches()), _manifest),
        Target("branch", _branches, _branch),
        Target("sealed-branch", _branches, _sealed_branch),
        Target("telling-branch", _telling, _sealed_branch),
        Target("telling-admission", _telling, _admission),
        Target("statistics", lambda: tuple(parts[6:] for parts in _telling()), _statistics),
        Target("header", lambda: tuple((b"", *parts[2:4]) for parts in _branches()), _header),
        Target("admission", _branches, _admission),
        Target("flower-record", _record_parts, _record),
        Target("forge-item", _item_parts, _item),
        Target("routed-item", _routed_parts, _routed),
        Target("gate", _gate_parts, _gate),
        Target("commit", _commit_parts, _commit),
        Target("receipt", _receipt_parts, _receipt),
        Target("sealed-receipt", _receipt_parts, _sealed_receipt),
        Target("task-message", _task_parts, _task_message),
        Target("tag-message", _tag_parts, _tag_message),
        Target("signed-task", _signed_task_parts, _signed_task),
        Target("commit-message", _commit_message_parts, _commit_message),
        Target("status", _status_parts, _status),
        Target("certificate", _certificate_parts, _certificate),
        Target("signature", _signature_parts, _signature),
        Target("digest", lambda: ((b"a" * 64,),), _digest),
    )
}
