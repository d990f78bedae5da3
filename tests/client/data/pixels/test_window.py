"""Windows: the range of values that becomes black to white."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from medforge.client.data.pixels.window import Window, chosen, parse_window, spell_window
from medforge.errors import InvalidInput

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "u1": RANDOM.integers(0, 256, (7, 9)).astype("u1"),
    "i1": RANDOM.integers(-128, 128, (7, 9)).astype("i1"),
    "<u2": RANDOM.integers(0, 65536, (7, 9, 3)).astype("<u2"),
    ">u2": RANDOM.integers(0, 65536, (7, 9)).astype(">u2"),
    "<i2": RANDOM.integers(-32768, 32768, (7, 9)).astype("<i2"),
    ">i2": RANDOM.integers(-32768, 32768, (7, 9)).astype(">i2"),
    "<i4": RANDOM.integers(-(2**31), 2**31, (7, 9)).astype("<i4"),
    "<f4": RANDOM.normal(0, 1000, (7, 9)).astype("<f4"),
    ">f8": RANDOM.normal(0, 1000, (7, 9)).astype(">f8"),
}


def expected(values: NDArray[np.generic], low: float, high: float) -> NDArray[np.float64]:
    return np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize(("centre", "width"), [(40, 400), (-600, 1500), (0.5, 1), (32767.5, 65535), (2048, 4096)])
def test_values_are_scaled_as_the_formula_says(kind: str, centre: float, width: float) -> None:
    for values in (ARRAYS[kind], ARRAYS[kind][::-1, ::2]):
        pixels = Window(centre, width).to_bytes(values)
        assert (pixels.dtype, pixels.shape) == (np.uint8, values.shape)
        assert np.abs(pixels - expected(values, centre - width / 2, centre + width / 2)).max() <= 0.5 + 1e-9


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.floats(allow_nan=True, allow_infinity=True))
def test_every_number_has_a_place_and_order_is_kept(centre: float, width: float, value: float) -> None:
    window = Window(centre, width)
    low, own, high = window.to_bytes(np.array([-np.inf, value, np.inf])).tolist()
    assert (low, high) == (0, 255)
    assert own == 0 if np.isnan(value) else low <= own <= high


def test_dicom_s_linear_function_counts_whole_values() -> None:
    # PS3.3 C.11.2.1.2.1 with y from 0 to 255
    values = np.arange(-200, 300, dtype=np.int16)
    exact = ((values - (40 - 0.5)) / (400 - 1) + 0.5) * 255
    assert np.abs(Window.of_dicom(40, 400).to_bytes(values) - np.clip(exact, 0, 255)).max() <= 0.5 + 1e-9
    assert Window.of_dicom(10, 1).to_bytes(np.array([9, 10])).tolist() == [0, 255]


def test_full_and_auto_choose_by_type_and_by_content() -> None:
    values = np.concatenate([np.linspace(100, 4000, 1000), [0, 65535]]).astype(np.uint16)
    assert chosen("full", values, (0, 65535)).to_bytes(np.array([0, 65535], np.uint16)).tolist() == [0, 255]
    auto = chosen("auto", values, (0, 65535))
    low, high = np.percentile(values, [0.5, 99.5])
    assert (auto.low, auto.low + auto.width) == pytest.approx((low, high))
    floats = np.array([[np.nan, 0.25], [0.5, np.inf]])
    assert chosen("auto", floats, None).to_bytes(floats).tolist() == [[0, 0], [255, 255]]
    assert chosen("auto", np.full(3, np.nan), None).to_bytes(np.full(3, np.nan)).tolist() == [0, 0, 0]
    assert chosen("auto", np.full(9, 7), None).to_bytes(np.full(9, 7)).tolist() == [0] * 9
    with pytest.raises(InvalidInput, match="has no full range; give window=CENTRE,WIDTH or window=auto"):
        chosen("full", floats, None)


@pytest.mark.parametrize("text", ["40,400", "-600,1500", "0.5,1", "1e3,.5", " 40 , 80 ", "full", "auto"])
def test_what_is_written_is_read_and_written_again(text: str) -> None:
    choice = parse_window(text)
    again = spell_window(choice)
    assert again is not None
    assert parse_window(again) == choice


@pytest.mark.parametrize(
    "text", ["", "40", "40,0", "40,-3", "a,b", "1,2,3", "nan,1", "inf,1", "1,inf", "1e999,1", "١,٢"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="; "):
        parse_window(text)
