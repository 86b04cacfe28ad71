"""Closed-form tokenizers: what is left of images is what their definition says."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tesserae.controls import patches
from tesserae.controls.patches import MeanColour, cut, fit_centres, fit_components, joined, k_means, nearest
from tesserae.data.floats import float_images


def pictures(count: int, side: int, seed: int) -> np.ndarray:
    """Smooth random images, uint8 (count, side, side, 3)."""
    rng = np.random.default_rng(seed)
    slopes, places = rng.normal(size=(3, count, 1, 1, 3)), np.linspace(-1, 1, side)
    images = 128 + 50 * slopes[0] * places[:, None, None] + 50 * slopes[1] * places[None, :, None] + 20 * slopes[2]
    return np.clip(images + rng.normal(scale=4, size=images.shape), 0, 255).astype(np.uint8)


images_of = st.builds(pictures, st.integers(2, 30), st.sampled_from([4, 8]), st.integers(0, 2**32 - 1))
grids = st.sampled_from([1, 2, 4])


def error(coder, images: np.ndarray, grid: int) -> float:
    """Mean squared error of a patch, summed over its values."""
    flat = cut(images, grid)
    return float((coder.rebuilt(flat) - flat).double().square().sum(-1).mean())


@given(images_of, grids)
def test_patches_are_the_image_and_nothing_else(images, grid):
    whole = joined(cut(images, grid), grid)
    torch.testing.assert_close(whole, float_images(images, torch.device("cpu")), atol=1e-6, rtol=0)


def test_a_grid_that_does_not_divide_the_image_is_refused():
    with pytest.raises(ValueError, match="3 x 3 patches do not divide an image of 8 pixels"):
        cut(pictures(2, 8, 0), 3)


@settings(max_examples=30)
@given(images_of, grids, st.data())
def test_the_error_of_components_is_the_energy_of_those_left_out(images, grid, data):
    values = 3 * (images.shape[1] // grid) ** 2
    kept = data.draw(st.integers(0, values))
    found = fit_components(images, grid, kept)
    assert found.basis.shape == (values, kept)
    torch.testing.assert_close(found.basis.T @ found.basis, torch.eye(kept), atol=1e-4, rtol=0)
    assert error(found, images, grid) == pytest.approx(found.discarded, rel=1e-3, abs=1e-5)


def test_more_components_are_never_worse_and_all_of_them_lose_nothing():
    images = pictures(20, 8, 1)
    errors = [error(fit_components(images, 2, kept), images, 2) for kept in (0, 1, 4, 16, 48)]
    assert errors == sorted(errors, reverse=True) and errors[0] > 5 * errors[2] and errors[-1] < 1e-6
    with pytest.raises(ValueError, match="49 components"):
        fit_components(images, 2, 49)


@pytest.mark.parametrize("fitted", [7, 1000])
def test_components_do_not_depend_on_chunks(monkeypatch, fitted):
    images = pictures(20, 8, 2)
    monkeypatch.setattr(patches, "FITTED", fitted)
    one = fit_components(images, 2, 3)
    monkeypatch.setattr(patches, "CHUNK", 3)
    other = fit_components(images, 2, 3)
    torch.testing.assert_close(one.rebuilt(cut(images, 2)), other.rebuilt(cut(images, 2)), atol=1e-5, rtol=0)


@settings(max_examples=30)
@given(images_of, grids, st.integers(1, 8), st.integers(0, 100))
def test_centres_are_never_worse_than_the_mean(images, grid, centres, seed):
    centres = min(centres, len(images) * grid**2)
    found = fit_centres(images, grid, centres, seed)
    assert found.centres.shape == (centres, 3 * (images.shape[1] // grid) ** 2)
    assert error(found, images, grid) <= fit_components(images, grid, 0).discarded * 1.001 + 1e-5
    torch.testing.assert_close(found.centres, fit_centres(images, grid, centres, seed).centres, rtol=0, atol=0)


def test_clusters_that_lie_apart_are_found():
    rng = np.random.default_rng(0)
    middles = torch.tensor([[0.0, 0], [10, 0], [0, 10], [10, 10]])
    points = (middles[:, None] + torch.from_numpy(rng.normal(scale=0.1, size=(4, 50, 2))).float()).flatten(0, 1)
    found = k_means(points, 4, rng)
    assert sorted(map(tuple, found.round().tolist())) == sorted(map(tuple, middles.tolist()))
    assert nearest(points, found).bincount().tolist() == [50] * 4


def test_more_centres_than_different_points_are_found_all_the_same():
    points = torch.tensor([[1.0], [1.0], [2.0], [2.0]])
    found = k_means(points, 4, np.random.default_rng(0))
    assert (points - found[nearest(points, found)]).abs().max() == 0
    with pytest.raises(ValueError, match="9 centres of 8 patches"):
        fit_centres(pictures(2, 4, 0), 2, 9, 0)


def test_a_mean_colour_is_that_of_the_image():
    images = pictures(3, 8, 3)
    flat = joined(MeanColour().rebuilt(cut(images, 1)), 1)
    expected = float_images(images, torch.device("cpu")).mean((2, 3), keepdim=True).expand_as(flat)
    torch.testing.assert_close(flat, expected, atol=1e-6, rtol=0)
