"""Windows, lookup tables and kinds of values, each against the standard's formula or pydicom's functions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

from medforge.client.data.dicom import content
from medforge.client.data.dicom.codestream import stated_size
from medforge.client.data.dicom.content import DEFLATED, is_dicom
from medforge.client.data.dicom.frames import read_frames
from medforge.client.data.dicom.reading import parse_dicom_window
from medforge.client.data.frame_choice import spread
from medforge.errors import CorruptFile, InvalidInput
from tests.dicoms import dataset_of, item, pydicom_file, ramp, save, write_dicom

TWELVE = {"BitsStored": 12, "HighBit": 11}


def shown(path: Path, window: str = "header") -> NDArray[Any]:
    (picture,) = read_frames(path, [0], parse_dicom_window(window))
    return np.asarray(picture).astype(float)


def refusal(path: Path, window: str = "header") -> str:
    with pytest.raises(InvalidInput) as error:
        shown(path, window)
    return str(error.value)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID", None])
@pytest.mark.parametrize("dtype", ["uint16", "int16"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_windows_as_pydicom_applies_them(tmp_path: Path, function: str | None, dtype: str, photometric: str) -> None:
    rescale = {"RescaleSlope": 2.5, "RescaleIntercept": -300.0}
    window = {"WindowCenter": 700.5, "WindowWidth": 1234.0} | ({"VOILUTFunction": function} if function else {})
    made = dataset_of(ramp(dtype), PhotometricInterpretation=photometric, **TWELVE, **rescale, **window)
    values = apply_windowing(apply_modality_lut(ramp(dtype), made), made)
    low, high = (-2048, 2047) if dtype == "int16" else (0, 4095)
    share = (values - (low * 2.5 - 300)) / ((high - low) * 2.5)
    expected = 255 * (1 - share if photometric == "MONOCHROME1" else share)
    # the ramp of a signed image goes beyond its twelve bits, which pydicom folds over
    there = np.abs(ramp(dtype).astype(int)) <= 2047 if dtype == "int16" else np.ones((16, 16), bool)
    assert np.abs(shown(save(made, tmp_path / "x")) - expected)[there].max() <= 1


def test_signed_values_without_a_rescale_fill_the_output_range(tmp_path: Path) -> None:
    values = np.linspace(-19366, 32767, 256).round().astype("int16").reshape(16, 16)
    path = write_dicom(tmp_path / "mr", values, WindowCenter=6700, WindowWidth=52134)
    picture = shown(path)
    assert (picture.min(), picture.max()) == (0, 255)
    assert np.abs(picture - np.linspace(0, 255, 256).reshape(16, 16)).max() <= 1


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_voi_lookup_table_goes_before_windows_and_fills_its_own_bits(tmp_path: Path, bits: int) -> None:
    entries = (np.linspace(0, 1, 3000) ** 2 * (2**bits - 1)).round().astype(int).tolist()
    table = item(LUTDescriptor=[3000, 500, bits], LUTData=entries)
    table["LUTData"].VR = "US"
    made = dataset_of(ramp(), VOILUTSequence=[table], WindowCenter=1, WindowWidth=2, **TWELVE)
    table["LUTDescriptor"].VR = "US"
    looked_up = np.array(entries)[np.clip(ramp().astype(int) - 500, 0, 2999)]
    if bits > 8:  # of eight bits pydicom's own overflow
        assert (looked_up == apply_voi(ramp(), made)).all()
    expected = looked_up / (2**bits - 1) * 255
    path = save(made, tmp_path / "x")
    assert np.abs(shown(path) - expected).max() <= 1
    assert set(np.unique(shown(path, "2"))) == {0, 255}  # the window, a threshold


def test_a_modality_lookup_table(tmp_path: Path) -> None:
    table = item(LUTDescriptor=[4096, 0, 16], LUTData=list(range(4095, -1, -1)), ModalityLUTType="OD")
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    made = dataset_of(ramp(), ModalityLUTSequence=[table], WindowCenter=2048, WindowWidth=4096, **TWELVE)
    assert np.abs(shown(save(made, tmp_path / "x")) - (255 - ramp() / 4095 * 255)).max() <= 1


def test_the_window_by_name_by_place_and_as_numbers(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "ct",
        ramp(),
        WindowCenter=[1000, 3000],
        WindowWidth=[2000, 100],
        WindowCenterWidthExplanation=["LUNG_WIDE", "Soft Tissue"],
    )
    assert (shown(path) == shown(path, "1")).all()
    assert (shown(path, "lung") == shown(path, "header")).all()
    assert (shown(path, "soft_tissue") == shown(path, "2")).all()
    assert (shown(path, "bone|soft tissue|header") == shown(path, "2")).all()
    assert np.abs(shown(path, "2000,1000") - np.clip((ramp() - 1500.0) / 1000, 0, 1) * 255).max() <= 1
    assert "no such window" in refusal(path, "bone")
    assert "no such window" in refusal(path, "3")


@pytest.mark.parametrize("window", ["", "1,2,3", "1,0", "a|", "-3", "nan,1"])
def test_a_window_that_is_none(window: str) -> None:
    with pytest.raises(InvalidInput, match=r"is no window; write window=CENTRE,WIDTH"):
        parse_dicom_window(window)


def test_deep_values_without_a_window_are_refused_and_eight_bits_are_not(tmp_path: Path) -> None:
    deep = write_dicom(tmp_path / "deep", ramp())
    assert "has 16 bits a pixel and no such window in its header; give window=" in refusal(deep)
    assert np.abs(shown(deep, "full") - ramp() / 65535 * 255).max() <= 1
    twelve = write_dicom(tmp_path / "twelve", ramp(), **TWELVE)
    assert np.abs(shown(twelve, "full") - ramp() / 4095 * 255).max() <= 1
    low, high = np.percentile(ramp(), [0.5, 99.5])
    assert np.abs(shown(deep, "auto") - np.clip((ramp() - low) / (high - low), 0, 1) * 255).max() <= 1
    plain = ramp("uint8", top=255)
    assert (shown(write_dicom(tmp_path / "plain", plain)) == plain).all()
    six = write_dicom(tmp_path / "six", ramp("uint8", top=63), BitsStored=6, HighBit=5)
    assert np.abs(shown(six) - ramp("uint8", top=63) / 63 * 255).max() <= 1


def test_padding_is_no_value_of_the_image(tmp_path: Path) -> None:
    values = ramp("int16", top=1000)
    values[:4] = -30000
    path = write_dicom(tmp_path / "x", values, PixelPaddingValue=-30000)
    low, high = np.percentile(values[4:], [0.5, 99.5])
    assert np.abs(shown(path, "auto") - np.clip((values - low) / (high - low), 0, 1) * 255).max() <= 1


def test_floats_and_32_bits(tmp_path: Path) -> None:
    floats = np.linspace(-1, 1, 64, dtype="float32").reshape(8, 8)
    path = write_dicom(tmp_path / "float", floats)
    assert "no such window" in refusal(path, "full")
    assert np.abs(shown(path, "0,1") - np.clip(floats + 0.5, 0, 1) * 255).max() <= 1
    deep = write_dicom(tmp_path / "deep", ramp("uint32", top=10**9))
    assert np.abs(shown(deep, "500000000,1000000000") - ramp("uint32", top=10**9) / 1e9 * 255).max() <= 1


def test_planes_and_sixteen_bit_colours(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 65536, (6, 7, 3)).astype("uint16")
    planes = np.ascontiguousarray(colours.transpose(2, 0, 1))
    path = write_dicom(tmp_path / "x", colours, PlanarConfiguration=1, PixelData=planes.tobytes())
    assert np.abs(shown(path) - colours / 65535 * 255).max() <= 1


def test_a_file_without_preamble_or_transfer_syntax(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "x", ramp("uint8", top=255))
    data = path.read_bytes()
    bare = tmp_path / "bare"
    bare.write_bytes(data[132 + 12 + int.from_bytes(data[140:144], "little") :])
    assert is_dicom(bare)
    assert (shown(bare) == shown(path)).all()


def test_bounds_come_before_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = dataset_of(ramp("uint8", top=255), Rows=60000, Columns=60000)
    assert "has 60000 × 60000 pixels, more than 180 million" in refusal(save(wide, tmp_path / "wide"))
    monkeypatch.setattr(content, "MOST_INFLATED", 1 << 20)
    bomb = dataset_of(ramp("uint8", top=255))
    bomb.add_new(0x00091010, "OB", bytes(3 << 20))
    path = save(bomb, tmp_path / "bomb", DEFLATED)
    assert path.stat().st_size < 1 << 14
    assert "inflates to more than 1 MiB" in refusal(path)


@pytest.mark.parametrize("slope", ["0", "-0.0"])
def test_a_rescale_that_makes_all_values_one_is_refused(tmp_path: Path, slope: str) -> None:
    header = {"RescaleSlope": slope, "RescaleIntercept": "0", "WindowCenter": "100", "WindowWidth": "50"}
    flat = dataset_of(ramp("uint8", top=255), **header)
    assert "with which no value can be told from another; mend its header" in refusal(save(flat, tmp_path / "flat"))


def test_a_compressed_stream_that_ends_early_is_damaged(tmp_path: Path) -> None:
    for name in ("SC_rgb_jpeg_dcmtk.dcm", "MR_small_jp2klossless.dcm", "MR_small_RLE.dcm"):
        data = pydicom_file(name).read_bytes()
        cut = tmp_path / name
        cut.write_bytes(data[: len(data) * 3 // 4])
        with pytest.raises(CorruptFile, match=r"^holds pixels that cannot be decoded; "):
            shown(cut)


def test_stated_sizes() -> None:
    assert stated_size(b"\xff\xd8\xff\xe0\0\4ab\xff\xc0\0\x0b\x08\0\x10\0\x20rest") == (32, 16)
    assert stated_size(b"\0" * 12 + b"\xff\x4f\xff\x51\0\x29\0\0" + b"\0\0\1\0\0\0\0\x80\0\0\0\0\0\0\0\0") == (256, 128)
    assert stated_size(b"\xff\xd8broken") is None
    assert stated_size(b"rle") is None


def test_frames_are_spread() -> None:
    assert list(spread("all", 3)) == [0, 1, 2]
    assert list(spread("first", 9)) == [0]
    assert list(spread("middle", 9)) == [4]
    assert list(spread("3", 9)) == [1, 4, 7]
    assert list(spread("5", 2)) == [0, 1]
