"""Closed-form generators: samples have the mean, covariance and frequencies that they were fitted to."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tesserae.controls.classwise import deviations, draw_marginals, draw_ragged_marginals, fit_gaussian, shrinkage

MANY = list(range(2000))


def tokens(count: int, values: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    """Correlated values (count, values)."""
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(values, values, generator=rng) / values**0.5
    return 3 + scale * torch.randn(count, values, generator=rng) @ mixing


@settings(max_examples=8)
@given(st.integers(2, 60), st.integers(1, 6), st.integers(0, 1000), st.floats(0.0, 2.0))
def test_samples_have_the_fitted_mean_and_covariance(count, values, seed, noise):
    own, others = tokens(count, values, seed), deviations(tokens(50, values, seed + 1, 2.0))
    fitted = fit_gaussian(own, torch.full_like(own, noise), others)
    drawn = fitted.draw(MANY)
    expected = fitted.weight * others.T @ others / len(others) + noise * torch.eye(values)
    expected = expected + (1 - fitted.weight) * torch.cov(own.T).reshape(values, values)
    size = float(expected.diagonal().max())
    torch.testing.assert_close(drawn.mean(0), own.mean(0), atol=0.12 * size**0.5 + 1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(drawn.T).reshape(values, values), expected, atol=0.18 * size + 1e-4, rtol=0)


def test_a_sample_follows_from_its_seed_alone():
    fitted = fit_gaussian(tokens(9, 5, 0), torch.ones(9, 5), deviations(tokens(20, 5, 1)))
    together = fitted.draw([7, -3, 11])
    for place, seed in enumerate([7, -3, 11]):
        torch.testing.assert_close(fitted.draw([seed])[0], together[place])
    assert not torch.equal(together[0], together[1])


def test_few_images_take_the_shared_covariance_and_many_their_own():
    """Classes of two shapes: with enough images each keeps its own."""
    wide, narrow = torch.linspace(0.3, 3.0, 30), torch.linspace(3.0, 0.3, 30)
    rng = torch.Generator().manual_seed(0)
    drawn = {scale: torch.randn(10000, 30, generator=rng) * scale for scale in (wide, narrow)}
    shared = torch.cat([deviations(some[:500]) for some in drawn.values()])
    weights = [shrinkage(deviations(drawn[wide][:count]), shared) for count in (4, 20, 200, 10000)]
    assert weights == sorted(weights, reverse=True) and weights[0] > 0.5 and weights[-1] < 0.01
    same = torch.randn(500, 30, generator=rng)
    assert shrinkage(deviations(same[:250]), deviations(same)) > 0.8  # nothing of its own to keep


def test_the_weight_is_near_the_one_with_the_least_error():
    """Ledoit and Wolf's estimate against the true optimum, known here since the true covariance is."""
    rng = torch.Generator().manual_seed(3)
    scale, shared = torch.linspace(0.5, 2, 8), deviations(torch.randn(4000, 8, generator=rng))
    target = shared.T @ shared / len(shared)
    found, best = [], []
    for _ in range(40):
        own = deviations(torch.randn(24, 8, generator=rng) * scale)
        found.append(shrinkage(own, shared))
        errors = [
            float((w * target + (1 - w) * own.T @ own / len(own) - torch.diag(scale**2)).square().sum())
            for w in np.linspace(0, 1, 101)
        ]
        best.append(np.argmin(errors) / 100)
    assert abs(np.mean(found) - np.mean(best)) < 0.15


def test_one_image_has_no_covariance():
    with pytest.raises(ValueError, match="two images of a class, not 1"):
        fit_gaussian(torch.zeros(1, 3), torch.zeros(1, 3), torch.zeros(5, 3))


@settings(max_examples=8)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 1000))
def test_codes_have_the_frequencies_of_their_place(count, length, seed):
    codes = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (count, length)))
    drawn = draw_marginals(codes, MANY)
    assert drawn.shape == (len(MANY), length) and drawn.dtype == torch.int64
    for place in range(length):
        expected = codes[:, place].bincount(minlength=4) / count
        torch.testing.assert_close(drawn[:, place].bincount(minlength=4) / len(MANY), expected, atol=0.06, rtol=0)
    assert torch.equal(draw_marginals(codes, [5, 6])[1], draw_marginals(codes, [6])[0])


def test_places_know_nothing_of_each_other():
    codes = torch.tensor([[0, 0], [1, 1]])
    drawn = draw_marginals(codes, MANY)
    assert abs(float((drawn[:, 0] == drawn[:, 1]).double().mean()) - 0.5) < 0.05
    with pytest.raises(ValueError, match="without images"):
        draw_marginals(codes[:0], [1])


def test_ragged_codes_stand_where_those_of_an_image_do_and_are_drawn_by_themselves():
    codes = torch.tensor([[0, 1, 2, -1], [3, -1, -1, 4], [5, -1, 6, -1]])
    drawn = draw_ragged_marginals(codes, MANY)
    patterns = {tuple(row) for row in (codes >= 0).tolist()}
    assert {tuple(row) for row in (drawn >= 0).tolist()} == patterns
    assert [set(column[column >= 0].tolist()) for column in drawn.T] == [{0, 3, 5}, {1}, {2, 6}, {4}]
    both = drawn[drawn[:, 2] >= 0]  # of two images that have a code there, each is drawn as often
    assert (both[:, 2] == 2).double().mean() == pytest.approx(0.5, abs=0.05)
    assert ((both[:, 0] == 0) & (both[:, 2] == 6)).any()  # places know nothing of each other
    assert torch.equal(draw_ragged_marginals(codes, [5, 6])[1], draw_ragged_marginals(codes, [6])[0])
    with pytest.raises(ValueError, match="no codes"):
        draw_ragged_marginals(codes[:0], [1])
