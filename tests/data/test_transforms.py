"""The centre crop against float arithmetic written independently, and the ways between uint8 and [-1, 1]."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tesserae.data.transforms import center_crop, random_flip, to_float, to_uint8


def box_filter(x: np.ndarray) -> np.ndarray:
    return ((x > -0.5) & (x <= 0.5)).astype(float)


def bicubic_filter(x: np.ndarray) -> np.ndarray:
    """Keys' cubic with a = -1/2."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def resampling_matrix(old: int, new: int, kernel, support: float) -> np.ndarray:
    """(new, old): weights of an antialiased resize; the kernel is stretched when the image shrinks."""
    ratio = old / new
    stretch = max(ratio, 1.0)
    centres = (np.arange(new) + 0.5) * ratio
    weights = np.zeros((new, old))
    for i, centre in enumerate(centres):
        low, high = max(int(centre - support * stretch + 0.5), 0), min(int(centre + support * stretch + 0.5), old)
        weights[i, low:high] = kernel((np.arange(low, high) + 0.5 - centre) / stretch)
    return weights / weights.sum(1, keepdims=True)


def resize_by_matrices(image: np.ndarray, new: list[int], kernel, support: float) -> np.ndarray:
    """(h, w, 3) float64 to (new[0], new[1], 3)."""
    rows, columns = (resampling_matrix(n, m, kernel, support) for n, m in zip(image.shape[:2], new, strict=True))
    return np.moveaxis(rows @ np.moveaxis(image, 2, 0) @ columns.T, 0, 2)


def crop_by_matrices(pixels: np.ndarray, size: int) -> tuple[np.ndarray, int]:
    """ADM's crop in float64: halvings while short // size >= 2, one cubic resize, the middle. Also the halvings."""
    image, halvings = pixels.astype(float), 0
    while min(image.shape[:2]) // size >= 2:
        image = resize_by_matrices(image, [n // 2 for n in image.shape[:2]], box_filter, 0.5)
        halvings += 1
    short = min(image.shape[:2])
    new = [round(n * (size / short)) for n in image.shape[:2]]  # in this order, as ADM: 110 * (44 / 80) is above 60.5
    image = resize_by_matrices(image, new, bicubic_filter, 2.0)
    top, left = (new[0] - size) // 2, (new[1] - size) // 2
    return image[top : top + size, left : left + size], halvings


def smooth_picture(height: int, width: int, seed: int) -> np.ndarray:
    """Waves within [40, 215], so that no resize overshoots the range of uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = sum(np.sin(x[..., None] * rng.normal(0, 0.15, 3) + y[..., None] * rng.normal(0, 0.15, 3)) for _ in range(3))
    return (127.5 + 29 * waves).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(4, 200), width=st.integers(4, 200), size=st.integers(1, 48), seed=st.integers(0, 99))
@example(height=80, width=110, size=44, seed=0)
def test_center_crop_agrees_with_float_arithmetic(height: int, width: int, size: int, seed: int):
    pixels = smooth_picture(height, width, seed)
    ours = np.asarray(center_crop(Image.fromarray(pixels), size)).astype(float)
    expected, halvings = crop_by_matrices(pixels, size)
    assert ours.shape == expected.shape == (size, size, 3)
    assert np.abs(ours - expected).max() <= 2 + halvings  # uint8 rounding in each direction of each resize


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60), size=st.integers(1, 40))
def test_the_size_is_always_right(height: int, width: int, size: int):
    assert center_crop(Image.new("RGB", (width, height)), size).size == (size, size)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3000, 2001), (257, 4096)])
def test_tiny_long_and_huge_images(shape: tuple[int, int]):
    assert center_crop(Image.new("RGB", shape), 32).size == (32, 32)


def test_center_crop_gives_the_reference_numbers():
    """Pixels computed once with the reference implementation of ADM's crop."""
    wave = (np.add.outer(np.arange(45) * 5, np.arange(70) * 3)[..., None] * np.array([1, 2, 3])) ** 2 // 7 % 256
    image = Image.fromarray(wave.astype(np.uint8))
    expected = [
        [[127, 118, 121], [121, 118, 118], [124, 111, 122]],
        [[124, 109, 120], [121, 107, 120], [126, 107, 113]],
        [[122, 104, 120], [131, 115, 107], [133, 114, 116]],
    ]
    np.testing.assert_allclose(np.asarray(center_crop(image, 3)).astype(int), expected, atol=1)
    sums = np.asarray(center_crop(image, 11)).astype(int).sum((0, 1))
    np.testing.assert_allclose(sums, [15048, 13442, 14269], rtol=2e-3)


def test_an_image_of_the_right_size_is_untouched():
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(center_crop(Image.fromarray(pixels), 32)), pixels)


def test_only_the_middle_is_kept():
    pixels = np.zeros((32, 47, 3), np.uint8)
    pixels[:, 7:39] = np.arange(32, dtype=np.uint8)[:, None]  # (47 - 32) // 2 = 7
    kept = np.asarray(center_crop(Image.fromarray(pixels), 32))
    assert np.array_equal(kept, pixels[:, 7:39])
    turned = np.asarray(center_crop(Image.fromarray(pixels.swapaxes(0, 1)), 32))
    assert np.array_equal(turned, pixels.swapaxes(0, 1)[7:39])


# uint8 and [-1, 1]


def every_level() -> torch.Tensor:
    return torch.arange(768, dtype=torch.int64).remainder(256).to(torch.uint8).view(1, 16, 16, 3)


def test_to_float_has_the_right_range_and_layout():
    images = torch.zeros(2, 4, 5, 3, dtype=torch.uint8)
    images[1, 2, 3] = torch.tensor([255, 0, 51], dtype=torch.uint8)
    out = to_float(images)
    assert out.shape == (2, 3, 4, 5) and out.dtype == torch.float32
    torch.testing.assert_close(out[1, :, 2, 3], torch.tensor([1.0, -1.0, -0.6]))
    assert (out[0] == -1).all()


def test_to_float_equals_torchvision_to_the_bit():
    transforms = pytest.importorskip("torchvision.transforms")
    images = every_level()
    theirs = transforms.Normalize(0.5, 0.5)(transforms.ToTensor()(images[0].numpy()))
    assert torch.equal(to_float(images)[0], theirs)


def test_rounding_inverts_to_float():
    images = every_level()
    back = to_uint8(to_float(images), mode="round")
    assert torch.equal(back, images) and back.is_contiguous()


def test_truncation_loses_at_most_one_level():
    images = every_level()
    lost = images.int() - to_uint8(to_float(images), mode="truncate").int()
    assert set(lost.unique().tolist()) == {0, 1}


@pytest.mark.parametrize(("mode", "expected"), [("truncate", [0, 100, 100, 255]), ("round", [0, 100, 101, 255])])
def test_out_of_range_is_clamped_and_fractions_follow_the_mode(mode: str, expected: list[int]):
    values = torch.tensor([-3.0, 100.3 / 127.5 - 1, 100.7 / 127.5 - 1, 3.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert to_uint8(values, mode=mode)[0, ..., 1].flatten().tolist() == expected


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="floor"):
        to_uint8(torch.zeros(1, 3, 2, 2), mode="floor")


def test_random_flip_mirrors_about_half_of_the_images_and_repeats():
    images = torch.rand(400, 3, 2, 5, generator=torch.Generator().manual_seed(0))
    out, told = random_flip(images, torch.Generator().manual_seed(1))
    kept = (out == images).flatten(1).all(1)
    mirrored = (out == images.flip(-1)).flatten(1).all(1)
    assert (kept ^ mirrored).all() and 160 < mirrored.sum() < 240 and torch.equal(mirrored, told)
    assert torch.equal(out, random_flip(images, torch.Generator().manual_seed(1))[0])
    assert not torch.equal(out, random_flip(images, torch.Generator().manual_seed(2))[0])


def test_the_data_room_opens_without_torch():
    code = (
        "import sys, tesserae.data.cache, tesserae.data.providers, tesserae.data.transforms; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'torchvision')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
