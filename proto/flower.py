"""A branch as Flower's records, and back, to the byte; and the receipt of one that went in by the forge's own door."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from math import prod

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from numpy.lib import format as npy
from pydantic import ValidationError
from safetensors.torch import save as save_safetensors
from torch import Tensor

from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.distilled import DistilledDataset
from medforge.errors import CorruptFile, InvalidBranch
from medforge.manifest import DISTILLED_FILE, PLUGIN_DIRECTORY, STATISTICS_FILE, Manifest
from medforge.peft_format import CONFIG_FILE, WEIGHTS_FILE
from medforge.plugin import Plugin
from medforge.proto.receipt import Receipt
from medforge.tensors import parse_tensors

PLUGIN_RECORD = "plugin"
DISTILLED_RECORD = "distilled"
STATISTICS_RECORD = "statistics"
MANIFEST_RECORD = "manifest"
ARRIVAL_RECORD = "arrival"
RECEIPT_RECORD = "receipt"
_MANIFEST_KEY = "manifest"
_TURN_KEY = "turn"
_DUE_KEY = "due"
_IDLE_KEY = "idle"
_BUSY_KEY = "busy"
_RECEIPT_KEY = "receipt"
_CONFIG_KEY = "adapter_config"
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_NUMPY = "numpy.ndarray"
_LARGEST_SIZE = 1 << 48
_DTYPES = {"images": torch.float16, "labels": torch.int64, "counts": torch.int64}
_STATISTICS = {"sums", "counts", "covariance"}


def branch_to_record(branch: Branch, turn: int | None = None, due: float = 0.0) -> RecordDict:
    """Put a branch into records, with its place in the intended order of arrival and the intended second, if any.

    ArrayRecord ``plugin`` holds the adapter's tensors by their names on disk, ArrayRecord ``distilled`` the images
    (float16 [n, 3, S, S]) and labels (int64 [n]), ArrayRecord ``statistics`` the class statistics of a branch that has
    them, ConfigRecord ``manifest`` the canonical manifest and adapter config.
    """
    distilled, statistics = branch.distilled, branch.statistics
    told: dict[str, ArrayRecord | ConfigRecord] = (
        {}
        if statistics is None
        else {STATISTICS_RECORD: _arrays({name: getattr(statistics, name) for name in sorted(_STATISTICS)})}
    )
    if turn is not None:
        told[ARRIVAL_RECORD] = ConfigRecord({_TURN_KEY: turn, _DUE_KEY: due})
    texts = {_MANIFEST_KEY: branch.manifest.to_bytes(), _CONFIG_KEY: branch.plugin.files()[CONFIG_FILE]}
    return RecordDict(
        {
            PLUGIN_RECORD: plugin_arrays(branch.plugin),
            DISTILLED_RECORD: _arrays({"images": distilled.images, "labels": distilled.labels}),
            MANIFEST_RECORD: ConfigRecord({key: text.decode() for key, text in texts.items()}),
            **told,
        }
    )


def idle_record() -> RecordDict:
    """Say that a node has no branch to send."""
    return RecordDict({ARRIVAL_RECORD: ConfigRecord({_IDLE_KEY: True})})


def is_idle(record: RecordDict) -> bool:
    """Say whether a node said that it has no branch to send."""
    return record.config_records.get(ARRIVAL_RECORD, ConfigRecord()).get(_IDLE_KEY) is True


def busy_record() -> RecordDict:
    """Say that a node's branch is being made already, for an earlier invitation."""
    return RecordDict({ARRIVAL_RECORD: ConfigRecord({_BUSY_KEY: True})})


def is_busy(record: RecordDict) -> bool:
    """Say whether a node said that it is at work for an earlier invitation."""
    return record.config_records.get(ARRIVAL_RECORD, ConfigRecord()).get(_BUSY_KEY) is True


def receipt_to_record(receipt: Receipt) -> RecordDict:
    """Say that the forge holds a branch already."""
    return RecordDict({RECEIPT_RECORD: ConfigRecord({_RECEIPT_KEY: receipt.to_bytes().decode()})})


def receipt_from_record(record: RecordDict) -> Receipt:
    """Return the receipt that a node replied with; raises InvalidBranch where there is none that can be read."""
    text = record.config_records.get(RECEIPT_RECORD, ConfigRecord()).get(_RECEIPT_KEY)
    if not isinstance(text, str):
        raise InvalidBranch("the reply has no receipt in it; start the node on the same version of the app as the run")
    try:
        return Receipt.model_validate_json(text)
    except ValidationError as error:
        raise InvalidBranch("the reply's receipt cannot be read; push again to get the same receipt") from error


def turn_from_record(record: RecordDict) -> int | None:
    """Return a branch's place in the intended order of arrival, from 0; None where it has none."""
    turn = record.config_records.get(ARRIVAL_RECORD, ConfigRecord()).get(_TURN_KEY)
    return turn if isinstance(turn, int) and not isinstance(turn, bool) and turn >= 0 else None


def branch_from_record(record: RecordDict) -> Branch:
    """Take a branch out of records, checking every digest; raises InvalidBranch with the first thing that is wrong."""
    manifest = manifest_from_record(record)
    config = record.config_records[MANIFEST_RECORD].get(_CONFIG_KEY)
    if not isinstance(config, str):
        raise InvalidBranch(f"the reply's {MANIFEST_RECORD} record lacks {_CONFIG_KEY}; send the branch again")
    factors = _tensors(record, PLUGIN_RECORD)
    images = _tensors(record, DISTILLED_RECORD)
    if set(images) != {"images", "labels"}:
        raise InvalidBranch(f"the reply's {DISTILLED_RECORD} record must hold images and labels; send the branch again")
    weights = save_safetensors({name: factors[name] for name in sorted(factors)}, {"format": "pt"})
    distilled = DistilledDataset(images["images"], images["labels"], manifest.prompts)
    blobs = {
        f"{PLUGIN_DIRECTORY}/{CONFIG_FILE}": config.encode(),
        f"{PLUGIN_DIRECTORY}/{WEIGHTS_FILE}": weights,
        DISTILLED_FILE: distilled.to_bytes(),
    }
    if STATISTICS_FILE in manifest.files:
        told = _tensors(record, STATISTICS_RECORD)
        if set(told) != _STATISTICS:
            raise InvalidBranch(
                f"the reply's {STATISTICS_RECORD} record must hold {', '.join(sorted(_STATISTICS))}; send it again"
            )
        blobs[STATISTICS_FILE] = ClassStatistics(**told).to_bytes()
    try:
        return Branch.assemble(manifest, blobs)
    except CorruptFile as error:
        raise InvalidBranch(str(error)) from error


def manifest_from_record(record: RecordDict) -> Manifest:
    """Read only the manifest of a branch; raises InvalidBranch where there is none."""
    texts = record.config_records.get(MANIFEST_RECORD, ConfigRecord())
    text = texts.get(_MANIFEST_KEY)
    if not isinstance(text, str):
        raise InvalidBranch(f"the reply has no {MANIFEST_RECORD} record with a manifest in it; send the branch again")
    return Manifest.parse(text.encode())


def plugin_arrays(plugin: Plugin) -> ArrayRecord:
    """Return a plugin's tensors, named as in its PEFT adapter file."""
    tensors, _ = parse_tensors(plugin.files()[WEIGHTS_FILE], "the plugin")
    return _arrays(tensors)


def _arrays(tensors: Mapping[str, Tensor]) -> ArrayRecord:
    return ArrayRecord({name: Array(tensor.detach().cpu().contiguous().numpy()) for name, tensor in tensors.items()})


def _tensors(record: RecordDict, name: str) -> dict[str, Tensor]:
    arrays = record.array_records.get(name)
    if arrays is None:
        raise InvalidBranch(f"the reply has no {name} record; send the branch again")
    tensors = {}
    for key, array in arrays.items():
        tensors[key] = _tensor(array, f"array {key[:200]} of the reply's {name} record")
        due = _DTYPES.get(key, torch.float32)
        if tensors[key].dtype != due:
            raise InvalidBranch(
                f"array {key[:200]} of the reply's {name} record is {tensors[key].dtype}, not {due}; send it so"
            )
    return tensors


def _tensor(array: Array, what: str) -> Tensor:
    """Read an array without `Array.numpy`, which allocates whatever size a header claims."""
    stream = BytesIO(array.data)
    try:
        read_header = _READERS[npy.read_magic(stream)]
        shape, fortran_order, dtype = read_header(stream)
    except Exception as error:  # NumPy parses the header as Python and lets that parser's errors out
        raise InvalidBranch(f"{what} cannot be read; send it again") from error
    data = array.data[stream.tell() :]
    if array.stype != _NUMPY or not all(0 <= size <= _LARGEST_SIZE for size in shape):
        raise InvalidBranch(f"{what} cannot be read; send it again")
    if prod(shape) * dtype.itemsize != len(data):
        raise InvalidBranch(f"{what} has {len(data)} bytes where its header claims another size; send it again")
    try:
        # copied, because an array read from bytes cannot be written
        values = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C").copy(order="C")
        return torch.from_numpy(values)
    except (TypeError, ValueError) as error:
        raise InvalidBranch(f"{what} cannot be read; send it again") from error
