"""The header of a safetensors file, spelled by us and by the library; and files that are mapped instead of read."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.errors import CorruptFile
from medforge.files import canonical_json
from medforge.mapped_file import Bytes, map_open
from medforge.tensors import all_finite, dump_tensors, is_canonical, metadata_texts, parse_tensors

DTYPES = (
    torch.int64, torch.float64, torch.float32, torch.int32, torch.bfloat16, torch.float16, torch.int16, torch.int8,
    torch.uint8, torch.bool,
)  # fmt: skip
tensors_of = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda name: name != "__metadata__"),
    st.builds(
        lambda dtype, shape: torch.ones(shape, dtype=dtype),
        st.sampled_from(DTYPES),
        st.lists(st.integers(0, 3), max_size=3),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(
    data=st.data(),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    shape=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    odd=st.sampled_from([None, float("nan"), float("inf"), -float("inf")]),
)
def test_one_value_that_is_not_finite_is_found_wherever_it_is(
    data: st.DataObject, dtype: torch.dtype, shape: list[int], odd: float | None
) -> None:
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(len(shape))).to(dtype)
    if odd is not None and tensor.numel():
        tensor.view(-1)[data.draw(st.integers(0, tensor.numel() - 1))] = odd
    assert all_finite(tensor) == bool(tensor.isfinite().all())


def map_file(path: Path) -> Bytes:
    with path.open("rb") as file:
        return map_open(file)


@settings(max_examples=50, deadline=None)
@given(tensors=tensors_of, prompt=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_a_header_is_spelled_as_the_library_spells_it(tensors: dict[str, torch.Tensor], prompt: str) -> None:
    metadata = {"prompts": [prompt]}
    data = dump_tensors(tensors, metadata)
    assert is_canonical(data, tensors, metadata_texts(metadata))
    assert not is_canonical(data, tensors, metadata_texts({"prompts": [prompt, "more"]}))
    assert not is_canonical(data, tensors | {"one more": torch.ones(2)}, metadata_texts(metadata))
    # a space in the header is another spelling of the same
    length = int.from_bytes(data[:8], "little")
    spaced = (length + 8).to_bytes(8, "little") + data[8 : 8 + length] + b" " * 8 + data[8 + length :]
    assert not is_canonical(spaced, tensors, metadata_texts(metadata))


@settings(max_examples=50, deadline=None)
@given(tensors=tensors_of)
def test_a_mapped_file_holds_what_its_bytes_hold(
    tensors: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("tensors") / "file"
    path.write_bytes(dump_tensors(tensors, {"a": [1]}))
    (read, said), (mapped, too) = parse_tensors(path.read_bytes(), "it"), parse_tensors(map_file(path), "it")
    assert said == too == {"a": [1]}
    assert set(read) == set(mapped) == set(tensors)
    assert all(torch.equal(mapped[name], read[name]) and mapped[name].dtype == read[name].dtype for name in read)


def test_what_is_written_into_mapped_tensors_stays_out_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(before := dump_tensors({"a": torch.ones(1000)}))
    tensors, _ = parse_tensors(map_file(path), "it")
    tensors["a"].zero_()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "entries",
    [
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "b": {"dtype": "F32", "shape": [2],
         "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [2]}},
        {"a": {"dtype": "F32", "shape": [-2, -1], "data_offsets": [0, 8]}},
    ],
)  # fmt: skip
def test_a_mapped_file_that_lies_is_refused_as_its_bytes_are(tmp_path: Path, entries: dict[str, object]) -> None:
    header = canonical_json(entries)
    path = tmp_path / "file"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    for data in (path.read_bytes(), map_file(path)):
        with pytest.raises(CorruptFile, match="it is not a whole safetensors file"):
            parse_tensors(data, "it")


def test_an_empty_file_is_no_tensors(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CorruptFile):
        parse_tensors(map_file(tmp_path / "file"), "it")
