"""Adaptive projected guidance: what it leaves as it is, what it bounds, what it takes away and remembers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tesserae.diffusion.projected_guidance import ProjectedGuidance, split

PLAIN = {"momentum": 0.0, "norm_limit": 0.0, "parallel": 1.0}
PAPER = {"momentum": -0.5, "norm_limit": 2.5, "parallel": 0.0}


def velocities(seed: int, scale: float = 1.0):
    rng = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(3, 4, 5, 5, generator=rng) for _ in range(2))


@given(st.integers(0, 2**31), st.floats(1, 9), st.floats(0.01, 100))
@settings(max_examples=30, deadline=None)
def test_what_it_adds_is_bounded_and_across_the_conditional_velocity(seed, weight, scale):
    conditional, unconditional = velocities(seed, scale)
    added = ProjectedGuidance(weight, PAPER)(conditional, unconditional) - conditional
    norms = added.flatten(1).norm(dim=1)
    assert (norms <= (weight - 1) * 2.5 * 1.001 + 1e-5).all()
    along = (added * conditional).flatten(1).sum(dim=1) / conditional.flatten(1).norm(dim=1)
    assert along.abs().max() < 1e-4 * max(1.0, scale) * 20


def test_without_all_that_it_is_classifier_free_guidance():
    conditional, unconditional = velocities(0)
    for weight in (1.0, 3.0):
        found = ProjectedGuidance(weight, PLAIN)(conditional, unconditional)
        torch.testing.assert_close(found, unconditional + weight * (conditional - unconditional))
    assert torch.equal(ProjectedGuidance(1.0, PAPER)(conditional, unconditional), conditional)


def test_the_running_difference_is_that_before_its_bound():
    guide = ProjectedGuidance(2.0, PLAIN | {"momentum": -0.5, "norm_limit": 0.1})
    conditional, unconditional = velocities(1)
    difference = conditional - unconditional
    guide(conditional, unconditional)
    torch.testing.assert_close(guide.running, difference)
    guide(conditional, unconditional)
    torch.testing.assert_close(guide.running, 0.5 * difference)


def test_parts_along_and_across_are_all_there_is():
    difference, direction = velocities(2)
    along, across = split(difference, direction)
    torch.testing.assert_close(along + across, difference)
    assert (along * across).flatten(1).sum(dim=1).abs().max() < 1e-4
    assert split(difference, torch.zeros_like(direction))[1].equal(difference)
    nothing = ProjectedGuidance(3.0, PAPER)(direction, direction)
    assert nothing == pytest.approx(direction)  # no difference, and no division by its norm
