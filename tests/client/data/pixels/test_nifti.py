"""Slices of NIfTI volumes: turned by the affine, square, windowed in the volume's own values."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from medforge.client.data.pixels.nifti import AXES, Axis, open_volume, read_slices
from medforge.client.data.pixels.reading import Reading
from medforge.client.data.pixels.window import parse_window
from medforge.errors import InvalidInput

nib = pytest.importorskip("nibabel", reason="it comes with the extra nifti")
SHAPE = (5, 6, 7)
BODY = np.random.default_rng(0).integers(-1000, 2000, SHAPE).astype(np.int16)
"""Values along right, anterior and superior."""


def stored(body: NDArray[np.generic], axes: str, spacing: tuple[float, float, float] = (1, 1, 1)) -> "nib.Nifti1Image":
    """Store a volume with its axes running to `axes`, as `LPS` says it of left, posterior and superior."""
    codes = tuple(axes)
    to_ras = nib.orientations.axcodes2ornt(codes)
    from_ras = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), to_ras)
    image = nib.Nifti1Image(body, np.diag([*spacing, 1.0]))
    return image.as_reoriented(from_ras)


def expected(body: NDArray[np.generic], axis: str, position: int) -> NDArray[np.generic]:
    """Radiologists' view: superior or anterior up, the patient's right or front at the left."""
    plane = {"sagittal": body[position], "coronal": body[:, position], "axial": body[:, :, position]}[axis]
    rows, columns = plane.shape[1], plane.shape[0]
    return np.array([[plane[columns - 1 - c, rows - 1 - r] for c in range(columns)] for r in range(rows)])


def read(path: Path, axis: Axis, position: int, window: str | None = None) -> NDArray[np.uint8]:
    reading = Reading(None if window is None else parse_window(window))
    (image,) = read_slices(path, axis, [position], reading)
    return np.asarray(image)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "PIR", "ASL", "SRA"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_slice_is_turned_as_the_affine_says(tmp_path: Path, axis: Axis, axes: str, suffix: str) -> None:
    path = tmp_path / f"scan{suffix}"
    nib.save(stored(BODY, axes), path)
    for position in (0, 3):
        wanted = np.clip((expected(BODY, axis, position).astype(float) + 160) / 400, 0, 1) * 255
        pixels = read(path, axis, position, "40,400")
        assert pixels.shape == (*wanted.shape, 3)
        assert np.abs(pixels - wanted[..., None]).max() <= 1


def test_the_window_is_in_measured_values(tmp_path: Path) -> None:
    for slope, inter in ((2.0, -1024.0), (-0.5, 10.0)):
        image = stored(BODY, "RAS")
        image.header.set_slope_inter(slope, inter)
        raw = nib.Nifti1Image(BODY, image.affine, image.header)
        raw.header.set_slope_inter(slope, inter)
        nib.save(raw, tmp_path / "scan.nii")
        measured = nib.load(tmp_path / "scan.nii").get_fdata()
        low, high = np.percentile(measured, [0.5, 99.5])
        ends = np.sort(np.array([-32768, 32767]) * slope + inter)
        for window, (black, white) in {"40,400": (-160, 240), "auto": (low, high), "full": ends}.items():
            wanted = np.clip((expected(measured, "axial", 2) - black) / (white - black), 0, 1) * 255
            assert np.abs(read(tmp_path / "scan.nii", "axial", 2, window) - wanted[..., None]).max() <= 1


def test_pixels_are_square(tmp_path: Path) -> None:
    nib.save(stored((BODY % 256).astype(np.uint8), "RAS", (1.0, 1.0, 2.5)), tmp_path / "scan.nii")
    assert read(tmp_path / "scan.nii", "axial", 0).shape == (6, 5, 3)
    assert read(tmp_path / "scan.nii", "coronal", 0).shape == (18, 5, 3)
    assert read(tmp_path / "scan.nii", "sagittal", 0).shape == (18, 6, 3)


def test_eight_bits_need_no_window_and_others_do(tmp_path: Path) -> None:
    small = (BODY % 256).astype(np.uint8)
    nib.save(stored(small, "RAS"), tmp_path / "small.nii")
    for window in (None, "40,400"):
        np.testing.assert_array_equal(
            read(tmp_path / "small.nii", "axial", 1, window)[..., 0], expected(small, "axial", 1)
        )
    nib.save(stored(BODY.astype(np.float32), "RAS"), tmp_path / "floats.nii")
    with pytest.raises(InvalidInput, match="floats.nii holds measured values; give window=CENTRE,WIDTH for black to"):
        read(tmp_path / "floats.nii", "axial", 1)
    with pytest.raises(InvalidInput, match="floats.nii holds values of a kind that has no full range"):
        read(tmp_path / "floats.nii", "axial", 1, "full")


def test_what_is_no_volume_of_plain_numbers_is_refused(tmp_path: Path) -> None:
    times = nib.Nifti1Image(np.zeros((4, 4, 4, 3), np.int16), np.eye(4))
    colours = nib.Nifti1Image(np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]), np.eye(4))
    refused = {
        "holds 3 volumes; save each as a file of its own": times,
        "holds colours or complex numbers": colours,
        "is no volume but .4, 4. values": nib.Nifti1Image(np.zeros((4, 4), np.int16), np.eye(4)),
    }
    for words, image in refused.items():
        nib.save(image, tmp_path / "scan.nii")
        with pytest.raises(InvalidInput, match=f"scan.nii {words}"):
            open_volume(tmp_path / "scan.nii", Reading("auto"))
    (tmp_path / "scan.nii").write_bytes(b"hello")
    with pytest.raises(InvalidInput, match="scan.nii cannot be decoded"):
        open_volume(tmp_path / "scan.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_volume_that_ends_early_is_told(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scan{suffix}"
    nib.save(stored(BODY, "RAS"), path)
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidInput, match=f"scan{suffix} .*; "):
            read(path, "axial", 6, "auto")


def test_large_slices_are_refused_by_their_header(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    nib.save(image, tmp_path / "scan.nii")
    data = bytearray((tmp_path / "scan.nii").read_bytes())
    data[40:48] = np.array([3, 32000, 32000, 2], "<i2").tobytes()
    (tmp_path / "scan.nii").write_bytes(data)
    with pytest.raises(InvalidInput, match="has slices of 1024 million pixels, more than 180 million; make it smaller"):
        open_volume(tmp_path / "scan.nii", Reading("auto"))


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_an_affine_without_directions_is_refused(tmp_path: Path, value: float) -> None:
    nib.save(stored(BODY, "RAS"), tmp_path / "scan.nii")
    # where the header of NIfTI-1 has its sform
    with (tmp_path / "scan.nii").open("r+b") as file:
        file.seek(280)
        file.write(np.full(12, value, "<f4").tobytes())
    with pytest.raises(InvalidInput, match="scan.nii has an affine that gives an axis no direction; mend its header"):
        open_volume(tmp_path / "scan.nii")
