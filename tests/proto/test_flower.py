import json
from typing import get_args

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.errors import InvalidBranch
from medforge.peft_format import WEIGHTS_FILE
from medforge.plugin import PluginKind
from medforge.proto.flower import branch_from_record, branch_to_record
from medforge.site_facts import SiteFacts
from medforge.tensors import parse_tensors
from tests.making import make_branch


def over_the_wire(record: RecordDict) -> RecordDict:
    """Through Flower's own serialisation, as between two machines."""
    return RecordDict(
        {name: _inflated(value) for name, value in record.items()}  # type: ignore[arg-type]
    )


def _inflated(value: ArrayRecord | ConfigRecord) -> ArrayRecord | ConfigRecord:
    if isinstance(value, ConfigRecord):
        return ConfigRecord.inflate(value.deflate())
    arrays = {}
    for name, array in value.items():
        chunks = {digest: type(chunk).inflate(chunk.deflate()) for digest, chunk in array.slice_array()}
        arrays[name] = Array.inflate(array.deflate(), chunks)
    return ArrayRecord(arrays)


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 1000),
    rank=st.integers(1, 5),
    kind=st.sampled_from(get_args(PluginKind)),
    task=st.sampled_from(["lung", "Dickdarm 2", "a.b-c_d"]),
)
def test_a_branch_comes_back_to_the_byte(
    seed: int, rank: int, kind: PluginKind, task: str, tiny_base: BaseModule
) -> None:
    branch = make_branch(tiny_base, seed, task, rank=rank, kind=kind)
    back = branch_from_record(over_the_wire(branch_to_record(branch)))
    assert back.digest == branch.digest
    assert back.blobs() == branch.blobs()
    assert back.manifest == branch.manifest
    back.check(tiny_base)


def test_class_statistics_come_back_to_the_byte(tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base).with_facts(SiteFacts(statistics=_statistics(tiny_base)), tiny_base)
    back = branch_from_record(over_the_wire(branch_to_record(branch)))
    assert back.digest == branch.digest
    assert back.blobs() == branch.blobs()


def test_class_statistics_that_are_missing_or_odd_are_named(tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base).with_facts(SiteFacts(statistics=_statistics(tiny_base)), tiny_base)
    record = branch_to_record(branch)
    del record["statistics"]
    with pytest.raises(InvalidBranch, match="no statistics record"):
        branch_from_record(record)
    record = branch_to_record(branch)
    del record.array_records["statistics"]["counts"]
    with pytest.raises(InvalidBranch, match="must hold counts, covariance, sums"):
        branch_from_record(record)


def _statistics(base: BaseModule) -> ClassStatistics:
    width = base.embed_dim
    return ClassStatistics(torch.ones(2, width), torch.tensor([30, 20]), torch.eye(width))


def test_a_branch_read_from_disk_comes_back_to_the_byte(tmp_path, tiny_base: BaseModule) -> None:
    make_branch(tiny_base).save(tmp_path)
    branch = Branch.load(tmp_path)
    assert branch_from_record(branch_to_record(branch)).blobs() == branch.blobs()


def test_the_records_hold_the_tensors_themselves(tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base)
    record = branch_to_record(branch)
    assert set(record) == {"plugin", "distilled", "manifest"}
    images = record.array_records["distilled"]["images"].numpy()
    assert images.dtype == np.float16
    assert np.array_equal(images, branch.distilled.images.numpy())
    on_disk, _ = parse_tensors(branch.plugin.files()[WEIGHTS_FILE], "the plugin")
    assert set(record.array_records["plugin"]) == set(on_disk)
    for name, tensor in on_disk.items():
        assert torch.equal(torch.from_numpy(record.array_records["plugin"][name].numpy().copy()), tensor)


def without(record: RecordDict, name: str) -> RecordDict:
    return RecordDict({key: value for key, value in record.items() if key != name})


def broken(branch: Branch, how: str) -> RecordDict:
    record = branch_to_record(branch)
    arrays, texts = record.array_records, record.config_records["manifest"]
    if how.startswith("no "):
        return without(record, how.removeprefix("no "))
    if how == "changed value":
        images = arrays["distilled"]["images"].numpy().copy()
        images[0, 0, 0, 0] += 1
        arrays["distilled"]["images"] = Array(images)
    elif how == "other type":
        arrays["distilled"]["images"] = Array(arrays["distilled"]["images"].numpy().astype(np.float64))
    elif how == "missing labels":
        del arrays["distilled"]["labels"]
    elif how == "missing factor":
        del arrays["plugin"][next(iter(arrays["plugin"]))]
    elif how == "unknown factor":
        arrays["plugin"]["surprise"] = Array(np.zeros(3, dtype=np.float32))
    elif how == "text array":
        arrays["distilled"]["labels"] = Array(np.array(["a", "b", "c", "d"]))
    elif how == "not an array":
        arrays["distilled"]["labels"] = Array("int64", (4,), "numpy.ndarray", b"garbage")
    elif how == "pickled array":
        arrays["distilled"]["labels"] = Array("int64", (4,), "pickle", b"garbage")
    elif how == "manifest of numbers":
        texts["manifest"] = 3
    elif how == "manifest of nonsense":
        texts["manifest"] = "nonsense"
    elif how == "changed manifest":
        changed = json.loads(str(texts["manifest"])) | {"format": 2}
        texts["manifest"] = json.dumps(changed)
    elif how == "lost adapter config":
        del texts["adapter_config"]
    elif how == "changed adapter config":
        texts["adapter_config"] = str(texts["adapter_config"]).replace('"r":2', '"r":3')
    return record


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("no plugin", "the reply has no plugin record; send the branch again"),
        ("no distilled", "the reply has no distilled record"),
        ("no manifest", "the reply has no manifest record"),
        ("changed value", "distilled.safetensors is not what the manifest says"),
        ("other type", "is torch.float64, not torch.float16; send it so"),
        ("missing labels", "must hold images and labels"),
        ("missing factor", "adapter_model.safetensors is not what the manifest says"),
        ("unknown factor", "adapter_model.safetensors is not what the manifest says"),
        ("text array", "array labels of the reply's distilled record cannot be read"),
        ("not an array", "array labels of the reply's distilled record cannot be read"),
        ("pickled array", "array labels of the reply's distilled record cannot be read"),
        ("manifest of numbers", "no manifest record with a manifest in it"),
        ("manifest of nonsense", "the manifest's the whole is wrong"),
        ("changed manifest", "the manifest's format is wrong"),
        ("lost adapter config", "lacks adapter_config"),
        ("changed adapter config", "adapter_config.json is not what the manifest says"),
    ],
)
def test_a_malformed_reply_is_an_invalid_branch(tiny_base: BaseModule, how: str, sentence: str) -> None:
    with pytest.raises(InvalidBranch) as refused:
        branch_from_record(broken(make_branch(tiny_base), how))
    assert sentence in str(refused.value)
