"""How many tokens are masked, which, and how samples of different lengths are grouped."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tesserae.nn.masking import (
    arccos_ratio,
    draw_masked,
    groups_by_length,
    gumbel,
    masked_after,
    masked_in_training,
    ranks,
)
from tests import golden

REFERENCE = golden.load("maskgit")  # TiTok's code


@pytest.mark.parametrize("slots", ["7", "64"])
def test_counts_of_training_are_the_official_ones(slots):
    progress = torch.tensor(REFERENCE["progress"])
    lengths = torch.full((len(progress),), int(slots))
    assert masked_in_training(lengths, progress).tolist() == REFERENCE["masking"][slots]


def test_the_mean_ratio_is_the_integral_of_the_law():
    """Of arccos(u) / (pi / 2) over u in [0, 1]: 2 / pi."""
    progress = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    assert arccos_ratio(progress).mean().item() == pytest.approx(2 / math.pi, abs=1e-5)


def test_masks_have_the_drawn_counts_and_hit_all_real_slots_alike():
    lengths = torch.tensor([3, 10, 1, 7] * 2000)
    masked = draw_masked(lengths, 12, torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(0)
    counts = masked_in_training(lengths, torch.rand(len(lengths), generator=rng))
    assert torch.equal(masked.sum(1), counts) and counts.min() == 1
    for row, length in enumerate((3, 10, 1, 7)):
        often = masked[row::4].double().mean(0)
        assert (often[length:] == 0).all()  # padding is never masked
        assert (often[:length] - often[:length].mean()).abs().max() < 0.045  # 4 standard deviations of 2000 draws


@given(st.lists(st.integers(1, 500), min_size=1, max_size=20), st.integers(1, 20))
def test_sampling_ends_with_nothing_masked_and_always_moves(lengths, steps):
    """Per sample: at least one code is fixed at each step while more than one is left, all of them in the last one."""
    lengths = torch.tensor(lengths)
    masked, planned = lengths, []
    for step in range(steps):
        after = masked_after(step, steps, lengths, masked)
        assert (after < masked).logical_or((masked == 1) & (after == 1)).all()
        assert (after >= 1).all() if step < steps - 1 else (after == 0).all()
        planned.append(after)
        masked = after
    alone = [int(lengths[0])]
    for step in range(steps):  # the counts of a sample do not depend on those beside it
        alone.append(int(masked_after(step, steps, lengths[:1], torch.tensor(alone[-1:]))))
    assert alone[1:] == [int(counts[0]) for counts in planned]


def test_counts_of_eight_steps_of_64_codes():
    masked, found = torch.tensor([64]), []
    for step in range(8):
        masked = masked_after(step, 8, torch.tensor([64]), masked)
        found.append(masked.item())
    assert found == [math.floor(64 * math.acos(t / 8) / (math.pi / 2)) for t in range(1, 8)] + [0]


@given(st.lists(st.integers(1, 457), max_size=80), st.sampled_from([0.0, 0.1, 0.3]))
def test_groups_hold_every_sample_once_and_waste_little(lengths, waste):
    groups = groups_by_length(lengths, waste)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        slots = len(group) * max((lengths[i] for i in group), default=0)
        assert slots - sum(lengths[i] for i in group) <= waste * slots + 1e-9


def test_samples_of_one_length_stay_as_they_are():
    assert groups_by_length([5, 5, 5], 0.1) == [[0, 1, 2]]
    assert groups_by_length([5, 50, 5], 0.1) == [[1], [0, 2]]


def test_ranks():
    assert ranks(torch.tensor([[0.5, 2.0, 0.5, -1.0]])).tolist() == [[1, 3, 2, 0]]


def test_gumbel_noise_has_its_mean_and_stays_finite():
    uniforms = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    assert gumbel(uniforms).mean().item() == pytest.approx(0.5772, abs=0.02)  # Euler's constant; sd 0.004
    assert gumbel(torch.tensor([0.0, 1 - 2**-24])).isfinite().all()
