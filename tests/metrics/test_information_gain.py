"""AvgIG: against closed forms of linear decoders, its unit, and what it does not depend on."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tesserae.metrics.information_gain import (
    Coordinates,
    Descent,
    coordinates_of,
    descend,
    information_gain,
    random_starts,
)
from tests.metrics.held import Held

M, C, SIDE = 2, 3, 2
PLAIN = Coordinates(torch.zeros(C), torch.ones(C))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(scale=1.0, seed=0):
    """A decoder of M * C numbers to 3 * 2 * 2 values, and its matrix."""
    matrix = scale * torch.randn(12, M * C, generator=seeded(seed))
    return lambda z: (z.flatten(1) @ matrix.T).view(-1, 3, SIDE, SIDE), matrix


def some(count=4, seed=1):
    rng = seeded(seed)
    return torch.rand(count, 3, SIDE, SIDE, generator=rng) * 2 - 1, torch.randn(count, M, C, generator=rng)


@given(st.integers(0, 50), st.integers(1, 8), st.floats(1e-3, 0.1))
@settings(max_examples=20, deadline=None)
def test_a_linear_decoder_descends_as_its_matrix_says(seed, steps, rate):
    decoder, matrix = linear(seed=seed)
    targets, w = some(seed=seed + 1)
    found = descend(decoder, targets, w, PLAIN, steps=steps, rate=rate)
    slope = matrix.double() / 2  # of images in [0, 1]
    residual = (w.flatten(1).double() @ matrix.double().T - targets.flatten(1).double()) / 2
    shrink = torch.eye(12, dtype=torch.float64) - rate * slope @ slope.T
    for errors in found.errors:
        torch.testing.assert_close(errors, residual.square().mean(1), rtol=1e-4, atol=1e-9)
        residual = residual @ shrink
    torch.testing.assert_close(
        found.gains, 0.5 * torch.log2(found.errors[:-1] / found.errors[1:]).sum(0), rtol=1e-9, atol=1e-12
    )


def test_a_short_descent_gains_what_the_gradient_promises():
    """T eta g / ln 2 with g = |J' r|^2 / |r|^2, r and J in [0, 1] images."""
    decoder, matrix = linear()
    targets, w = some()
    found = descend(decoder, targets, w, PLAIN, steps=10, rate=1e-6)
    residual = (decoder(w) - targets).flatten(1) / 2
    g = (residual @ matrix / 2).square().sum(1) / residual.square().sum(1)
    torch.testing.assert_close(found.gains, (10 * 1e-6 * g / math.log(2)).double(), rtol=2e-2, atol=0)


@pytest.mark.parametrize(
    ("bits", "smaller"), [(0.43, 0.449), (0.38, 0.41), (0.17, 0.21), (0.121, 0.155), (0.167, 0.207)]
)
def test_printed_values_as_bits_per_value(bits, smaller):
    """How much less the squared error is after a whole run, by the reading that this project takes."""
    errors = torch.tensor([[1.0], [1 - smaller]], dtype=torch.float64)
    assert Descent(errors).gains.item() == pytest.approx(bits, abs=0.006)


@pytest.mark.parametrize(("values", "smaller"), [(196_608, 3.0e-4), (65_536, 9.1e-4), (4096, 1.445e-2)])
def test_printed_values_as_bits_of_a_step(values, smaller):
    """By the literal reading, 0.43 over 100 steps would mean errors that hardly move."""
    errors = torch.linspace(1, 1 - smaller, 101, dtype=torch.float64)[:, None]
    assert information_gain(Descent(errors), values).literal == pytest.approx(0.43, rel=0.02)


def test_what_the_scale_of_tokens_does_not_change():
    decoder, _ = linear()
    targets, w = some()
    mean, std = torch.tensor([1.0, -2.0, 0.0]), torch.tensor([10.0, 0.1, 3.0])
    other = Coordinates(mean, std)
    plain = descend(decoder, targets, w, PLAIN, steps=5, rate=0.01)
    moved = descend(lambda z: decoder((z - mean) / std), targets, w, other, steps=5, rate=0.01)
    torch.testing.assert_close(moved.errors, plain.errors, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(other.of(other.vectors(w)), w, rtol=1e-4, atol=1e-5)


def test_an_image_is_descended_for_itself():
    decoder, _ = linear()
    targets, w = some()
    together = descend(decoder, targets, w, PLAIN, steps=4, rate=0.05)
    alone = torch.cat(
        [descend(decoder, targets[i : i + 1], w[i : i + 1], PLAIN, steps=4, rate=0.05).errors for i in range(4)], dim=1
    )
    torch.testing.assert_close(alone, together.errors, rtol=1e-5, atol=1e-9)


def test_no_graph_is_kept_longer_than_a_step():
    decoder, _ = linear()
    targets, w = some()
    peaks = []
    for steps in (1, 6):
        with Held() as held:
            descend(decoder, targets, w, PLAIN, steps=steps, rate=0.01)
        assert held.live == 0
        peaks.append(held.peak)
    assert peaks[0] == peaks[1] > 0


def test_a_decoder_that_ignores_its_tokens_gains_nothing_and_half_ignored_ones_less():
    decoder, _ = linear()
    targets, w = some()
    deaf = descend(lambda z: 0 * decoder(z) + 0.1, targets, w, PLAIN, steps=3, rate=0.1)
    assert deaf.gains.tolist() == [0.0] * 4 and information_gain(deaf, 12) == (0.0, 0.0, 0.0)
    half = torch.tensor([1.0, 0.0]).view(1, 2, 1)
    gains = [
        descend(f, targets, w * half, PLAIN, steps=3, rate=0.05).gains.mean()
        for f in (lambda z: decoder(z * half), decoder)
    ]
    assert 0 < gains[0] < gains[1]


def test_what_diverges_is_marked_and_never_averaged():
    decoder, _ = linear()
    targets, w = some()
    w[1] = math.inf
    found = descend(decoder, targets, w, PLAIN, steps=3, rate=0.05)
    assert found.diverged.tolist() == [False, True, False, False]
    assert found.gains.isnan().tolist() == [False, True, False, False]
    with pytest.raises(FloatingPointError, match=r"1 of 4 descents diverged \(images \[1\]\)"):
        information_gain(found, 12)


def test_steps_that_are_too_long_are_seen():
    decoder, _ = linear(scale=3.0)
    targets, w = some()
    found = descend(decoder, targets, w, PLAIN, steps=3, rate=1.0)
    assert found.worse.all() and information_gain(found, 12).bits < 0 and information_gain(found, 12).worse == 1


def test_coordinates_are_those_of_the_tokens_channels():
    vectors = torch.tensor([2.0, -1.0, 0.5]) + torch.tensor([3.0, 0.1, 1.0]) * torch.randn(
        500, 4, 3, generator=seeded()
    )
    found = coordinates_of(vectors)
    torch.testing.assert_close(found.mean, torch.tensor([2.0, -1.0, 0.5]), rtol=0, atol=0.2)
    torch.testing.assert_close(found.std, torch.tensor([3.0, 0.1, 1.0]), rtol=0.1, atol=0)
    still = coordinates_of(torch.tensor([[[0.1, 2.3], [0.4, 2.3], [0.2, 2.3]]]))
    assert still.still == [1] and found.still == []
    with pytest.raises(ValueError, match=r"channels \[1\] are the same"):
        random_starts([0], (3, 2), still, None)


def test_two_codebooks_have_a_scale_each():
    vectors = torch.randn(200, 5, 3, generator=seeded()) * torch.tensor([1.0, 1, 10, 10, 10])[:, None]
    found = coordinates_of(vectors, [slice(2), slice(2, None)])
    alone = coordinates_of(vectors[:, :2]), coordinates_of(vectors[:, 2:])
    assert found.std.shape == (5, 3) and torch.equal(found.std[1], alone[0].std)
    assert torch.equal(found.mean[2], alone[1].mean)
    torch.testing.assert_close(found.vectors(found.of(vectors)), vectors, rtol=1e-4, atol=1e-5)


def test_a_decode_without_a_gradient_is_refused():
    decoder, _ = linear()
    targets, w = some()
    with pytest.raises(ValueError, match="no gradient comes from the images"):
        descend(torch.no_grad()(decoder), targets, w, PLAIN, steps=2, rate=0.01)


def test_a_start_is_that_of_its_seed_and_of_the_norm_of_tokens():
    coordinates = Coordinates(torch.tensor([0.1, 0.0, -0.2]), torch.tensor([1.0, 2.0, 0.5]))
    starts = random_starts([3, 4, 5], (M, C), coordinates, None)
    assert torch.equal(starts[1:2], random_starts([4], (M, C), coordinates, None))
    assert not torch.equal(starts[0], starts[1])
    unit = random_starts([3, 4], (M, C), coordinates, lambda z: torch.nn.functional.normalize(z, dim=-1))
    norms = coordinates.vectors(unit).norm(dim=-1)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)
    torch.testing.assert_close(random_starts([3, 4, 5], (M, C), coordinates, lambda z: z), starts)
