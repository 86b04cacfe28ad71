"""PSNR: against scikit-image, on known answers, and for both kinds of images."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from tesserae.metrics import reconstruction
from tesserae.metrics.reconstruction import psnr


def pictures(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)


def as_floats(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


def test_agrees_with_scikit_image():
    original, other = pictures(0), pictures(1)
    expected = [peak_signal_noise_ratio(a, b, data_range=255) for a, b in zip(original, other, strict=True)]
    np.testing.assert_allclose(psnr(original, other), expected, rtol=1e-12)


def test_bytes_and_floats_and_layouts_are_the_same_images():
    original, other = pictures(0), pictures(1)
    expected = psnr(original, other)
    assert expected.shape == (5,)
    torch.testing.assert_close(psnr(as_floats(original), as_floats(other)), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        psnr(torch.from_numpy(original), as_floats(other).permute(0, 2, 3, 1)), expected, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("error", [0.1, 0.01])
def test_an_error_of_a_tenth_of_the_range_is_20_db(error):
    original = torch.zeros(2, 3, 4, 4)
    assert psnr(original, original + 2 * error).tolist() == pytest.approx([-20 * np.log10(error)] * 2, rel=1e-6)


def test_reconstructions_are_clamped():
    white = torch.ones(1, 3, 4, 4)
    assert psnr(white, white + 5).item() == float("inf")
    assert psnr(-white, white + 5).item() == pytest.approx(0, abs=1e-12)


def test_each_image_counts_alone_and_not_by_its_chunk(monkeypatch):
    original, other = pictures(0), pictures(1)
    expected = psnr(original, other)
    monkeypatch.setattr(reconstruction, "CHUNK", 2)
    assert torch.equal(psnr(original, other), expected)
    other[3] = original[3]
    assert torch.equal(psnr(original, other)[[0, 1, 2, 4]], expected[[0, 1, 2, 4]])
    assert psnr(original, other)[3] == float("inf")


def test_memory_maps_are_read(tmp_path):
    np.save(tmp_path / "images.npy", pictures(0))
    stored = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert torch.equal(psnr(stored, pictures(1)), psnr(pictures(0), pictures(1)))


FLOATS = torch.zeros(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("original", "other", "error", "message"),
    [
        (FLOATS, FLOATS[:1], ValueError, r"\(2, 3, 4, 4\) and reconstructions \(1, 3, 4, 4\)"),
        (FLOATS[0], FLOATS[0], ValueError, r"not \(3, 4, 4\)"),
        (FLOATS[:0], FLOATS[:0], ValueError, "N > 0"),
        (FLOATS + 127, FLOATS, ValueError, r"must lie in \[-1, 1\], not in \[127, 127\]"),
        (FLOATS, FLOATS / 0, ValueError, "reconstructions contain values that are not finite"),
        (FLOATS.long(), FLOATS.long(), TypeError, "torch.int64"),
    ],
)
def test_other_inputs_are_refused(original, other, error, message):
    with pytest.raises(error, match=message):
        psnr(original, other)
