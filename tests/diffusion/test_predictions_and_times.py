"""Times of mode sampling, and velocities of predicted images."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tesserae.diffusion.clean_prediction import NEAREST, as_velocity
from tesserae.diffusion.flow import path, path_velocity
from tesserae.diffusion.mode_times import draw_mode_times, mode_times
from tests import golden
from tests.tokenizers.batches import seeded


def test_times_of_the_official_code():
    wanted = golden.load("flextok")["mode_times"]
    found = mode_times(torch.tensor(wanted["uniform"]), wanted["scale"])
    torch.testing.assert_close(1 - found, torch.tensor(wanted["noise"]))


@given(st.floats(-1, 1.75))
def test_times_rise_from_noise_to_data(scale):
    found = mode_times(torch.linspace(0, 1, 101, dtype=torch.float64), scale)
    assert found[0].abs() < 1e-12 and (found[-1] - 1).abs() < 1e-12 and (found.diff() > -1e-12).all()


def test_a_scale_of_none_is_uniform_and_others_have_their_part():
    draws = draw_mode_times(torch.zeros(20_000, 1), seeded(), 0.0)
    assert torch.equal(draws, torch.rand(20_000, generator=seeded()))
    middle = [((t := draw_mode_times(torch.zeros(20_000, 1), seeded(), s)) - 0.5).abs().lt(0.25) for s in (1.5, -0.8)]
    assert middle[0].float().mean() > 0.55 > 0.5 > 0.45 > middle[1].float().mean() and 0 <= t.min() < t.max() <= 1


def test_a_scale_that_folds_back_is_refused():
    with pytest.raises(ValueError, match=r"needs a scale from -1 to 1\.752, not 2"):
        mode_times(torch.rand(3), 2)


def test_the_velocity_of_the_true_image_is_the_true_velocity():
    data, noise = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    t = torch.tensor([0.0, 0.5, 0.9])
    x = path(data, noise, t)
    torch.testing.assert_close(as_velocity(data, x, t, "image"), path_velocity(data, noise), atol=1e-5, rtol=1e-4)
    assert torch.equal(as_velocity(data, x, t, "velocity"), data)


def test_close_to_the_image_errors_are_not_divided_by_nothing():
    said, x = torch.ones(2, 3), torch.zeros(2, 3)
    assert torch.equal(as_velocity(said, x, torch.ones(1), "image"), said / NEAREST)
