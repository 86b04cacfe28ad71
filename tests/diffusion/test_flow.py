"""The linear path and its solvers, against a case with a known answer.

If the data are N(MEAN, STD^2), then x_t is N(t MEAN, V_t) with V_t = (t STD)^2 + (1 - t)^2, the exact velocity is the
linear function below, and the ODE carries noise e to MEAN + STD e, sample by sample.
"""

from collections import Counter

import pytest
import torch
from torchdiffeq import odeint

from tesserae.diffusion import flow, integrators

MEAN, STD = 2.0, 0.5


def gaussian_velocity(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """E[data - noise | x_t = x] for the Gaussian data."""
    variance = (t * STD) ** 2 + (1 - t) ** 2
    return MEAN + (t * STD**2 - (1 - t)) / variance * (x - t * MEAN)


@pytest.fixture
def noise() -> torch.Tensor:
    return torch.randn(64, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_time_zero_is_noise_and_time_one_is_data(noise):
    data = torch.full_like(noise, 7.0)
    assert torch.equal(flow.path(data, noise, torch.zeros(64)), noise)
    assert torch.equal(flow.path(data, noise, torch.ones(64)), data)


def test_the_velocity_is_the_derivative_of_the_path(noise):
    data = noise.flip(0) + 3
    t = torch.linspace(0.1, 0.9, 64, dtype=torch.float64)
    change = flow.path(data, noise, t + 1e-3) - flow.path(data, noise, t - 1e-3)
    torch.testing.assert_close(change / 2e-3, flow.path_velocity(data, noise))


def test_the_loss_is_zero_for_the_right_velocity_and_a_mean_over_everything_otherwise(noise):
    data, t = noise.flip(0) + 3, torch.rand(64, dtype=torch.float64)
    seen = []

    def shifted(x, times):
        seen.append((x, times))
        return data - noise + 2

    assert flow.velocity_mse(lambda x, times: data - noise, data, noise, t) == 0
    assert flow.velocity_mse(shifted, data, noise, t).item() == pytest.approx(4)
    assert torch.equal(seen[0][0], flow.path(data, noise, t)) and torch.equal(seen[0][1], t)


def test_draws_follow_the_stream_alone():
    data = torch.zeros(20_000, 2)
    draws = [
        (flow.draw_uniform_times(data, rng), flow.draw_noise(data, rng))
        for rng in (torch.Generator().manual_seed(seed) for seed in (1, 1, 2))
    ]
    assert all(torch.equal(a, b) for a, b in zip(draws[0], draws[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(draws[0], draws[2], strict=True))
    t, e = draws[0]
    # Five standard errors of each statistic at n = 20,000 (40,000 for the noise).
    assert abs(t.mean() - 1 / 2) < 0.0102 and abs(t.var() - 1 / 12) < 0.0027 and t.min() >= 0 and t.max() < 1
    assert abs(e.mean()) < 0.025 and abs(e.var() - 1) < 0.036


def test_dopri5_solves_the_gaussian_flow(noise):
    def error(rtol):
        end = integrators.dopri5(velocity, noise, atol=1e-6, rtol=rtol)
        return (end - (MEAN + STD * noise)).abs().max()

    def velocity(x, t, rows):
        return gaussian_velocity(x, t.view(-1, 1, 1))

    # Worst of 512 values up to 4: the tolerance is on the mean square, and interpolating the last step costs a factor.
    assert error(1e-3) < 0.1
    assert error(1e-6) < 5e-4


# Velocities of one sample, x (N, C), t 0-d, that differ from sample to sample: a Gaussian flow, a coupled one, steps
# that are refused, and the special cases of the first step (no slope at all, a start at the origin).
PROBLEMS = {
    "gaussian": lambda x, t, row: (1 + row) / 4 * gaussian_velocity(x, t),
    "coupled": lambda x, t, row: (1 + row) * torch.sin(2 * x + row) + t * x.roll(1, 0),
    "sharp": lambda x, t, row: 10 * torch.exp(-(((t - 0.3 - 0.05 * row) / 0.03) ** 2)) - x,
    "still": lambda x, t, row: 0 * x,
    "origin": lambda x, t, row: row + torch.cos(3 * t) - x,
}


def problem(name: str, dtype: torch.dtype) -> tuple:
    """The velocity of one sample, and eight starts."""
    x = torch.randn(8, 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    return PROBLEMS[name], 0 * x if name == "origin" else x


def solve(one, x: torch.Tensor, samples: list[int], **settings) -> tuple[torch.Tensor, Counter]:
    """dopri5 on some of the samples as one batch, the velocity computed one by one; evaluations of each sample."""
    evaluations = Counter()

    def velocity(x, t, rows):
        assert x.dtype == t.dtype and len(x) == len(t) == len(rows)
        those = [samples[row] for row in rows]
        evaluations.update(those)
        return torch.stack([one(*state) for state in zip(x, t, those, strict=True)])

    return integrators.dopri5(velocity, x[samples], atol=1e-6, rtol=1e-3, **settings), evaluations


def solve_alone(one, x: torch.Tensor, sample: int, growth: float) -> tuple[torch.Tensor, int]:
    """torchdiffeq on one sample, and its number of evaluations."""
    times = []

    def velocity(t, state):
        times.append(t)
        return one(state, t, sample)

    ends, options = torch.tensor([0.0, 1.0]), {"ifactor": growth}
    end = odeint(velocity, x[sample], ends, method="dopri5", atol=1e-6, rtol=1e-3, options=options)[-1]
    return end, len(times)


@pytest.mark.parametrize("growth", [integrators.LARGEST_GROWTH, 10.0])
@pytest.mark.parametrize("name", PROBLEMS)
def test_dopri5_is_torchdiffeq_on_each_sample_alone(name, growth):
    one, x = problem(name, torch.float64)
    end, evaluations = solve(one, x, list(range(8)), growth=growth)
    for i in range(8):
        expected, count = solve_alone(one, x, i, growth)
        torch.testing.assert_close(end[i], expected, atol=1e-10, rtol=0)
        assert evaluations[i] == count
    assert len(set(evaluations.values())) > 1 or name == "still"  # samples did go their own ways


@pytest.mark.parametrize("name", PROBLEMS)
def test_dopri5_is_near_torchdiffeq_in_float32(name):
    one, x = problem(name, torch.float32)
    end, _ = solve(one, x, list(range(8)))
    assert end.dtype == torch.float32
    for i in range(8):
        expected, _ = solve_alone(one, x, i, integrators.LARGEST_GROWTH)
        torch.testing.assert_close(end[i], expected, atol=5e-4, rtol=0)  # rounding, amplified by the steps


@pytest.mark.parametrize("samples", [[4], [6, 0, 3], [7, 6, 5, 4, 3, 2, 1, 0]])
@pytest.mark.parametrize("name", PROBLEMS)
def test_dopri5_changes_no_bit_with_the_batch(name, samples):
    one, x = problem(name, torch.float32)
    together, evaluations = solve(one, x, list(range(8)))
    end, again = solve(one, x, samples)
    assert torch.equal(end, together[samples])
    assert again == Counter({i: evaluations[i] for i in samples})


def test_finished_samples_are_not_evaluated():
    one, x = problem("coupled", torch.float64)
    seen = []

    def velocity(x, t, rows):
        seen.append(rows.tolist())
        return torch.stack([one(*state) for state in zip(x, t, rows, strict=True)])

    integrators.dopri5(velocity, x, atol=1e-6, rtol=1e-3)
    assert all(set(after) <= set(before) for before, after in zip(seen, seen[1:], strict=False))
    assert len(seen[-1]) < len(seen[0]) == 8


def test_a_step_that_vanishes_is_an_error():
    start = torch.ones(3, 1)

    def pole(x, t, rows):  # x' = 3 x^2 from 1 has a pole at 1/3; sample 2 alone has it
        return torch.where(rows.view(-1, 1) == 2, 3 * x**2, 0 * x)

    with pytest.raises(FloatingPointError, match=r"sample 2 of the batch.* t = 0\.333"):
        integrators.dopri5(pole, start, atol=1e-6, rtol=1e-3)
    with pytest.raises(FloatingPointError, match="sample 0 of the batch"):
        integrators.dopri5(lambda x, t, rows: x * float("nan"), start, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize(
    ("solver", "order"), [(integrators.euler, 1), (integrators.heun, 2), (integrators.midpoint, 3)]
)
def test_fixed_grids_converge_at_their_order(noise, solver, order):
    """For this field the midpoint method is of one order more than it promises in general."""

    def error(steps):
        grid = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        return (solver(gaussian_velocity, noise, grid) - (MEAN + STD * noise)).abs().max().item()

    # Halving the step divides the error by 2^order, asymptotically: 25 % is left for the higher orders.
    assert error(64) / error(128) == pytest.approx(2**order, rel=0.25)
    assert error(128) < {1: 0.05, 2: 1e-3, 3: 1e-3}[order]


def test_fixed_grids_follow_the_given_times():
    asked = []

    def velocity(x, t):
        asked.append(t.item())
        return torch.zeros_like(x)

    integrators.euler(velocity, torch.zeros(1), torch.tensor([0.0, 0.25, 1.0]))
    assert asked == [0.0, 0.25]
    asked.clear()
    integrators.heun(velocity, torch.zeros(1), torch.tensor([0.0, 0.25, 1.0]))
    assert asked == [0.0, 0.25, 0.25, 1.0]


def test_the_score_is_the_gradient_of_the_log_density(noise):
    t = torch.tensor(0.7, dtype=torch.float64)
    variance = (t * STD) ** 2 + (1 - t) ** 2
    expected = -(noise - t * MEAN) / variance
    torch.testing.assert_close(integrators.score(gaussian_velocity(noise, t), noise, t), expected)


def sde_ends(form: str, steps: int, last_step: float) -> tuple[torch.Tensor, torch.Tensor]:
    """20,000 starts and ends of the SDE of the Gaussian, `steps` evaluations."""
    rng = torch.Generator().manual_seed(0)
    start = torch.randn(20_000, 1, generator=rng)
    increments = torch.randn(20_000, steps - 1, 1, generator=rng)
    return start, integrators.euler_maruyama(gaussian_velocity, start, increments, form=form, last_step=last_step)


@pytest.mark.parametrize("form", integrators.DIFFUSION_FORMS)
def test_the_sde_returns_the_gaussian(form):
    """Five standard errors at n = 20,000 are 0.018 (mean) and 2.5 % (deviation); 1 % is left for 400 finite steps.

    The last step is short here: it adds no noise, and so narrows the result by about last_step * w / V.
    """
    start, end = sde_ends(form, steps=400, last_step=0.002)
    assert end.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert end.std().item() == pytest.approx(STD, rel=0.035)
    # The noise matters: what starts together ends apart, while the ODE would keep this correlation at 1.
    assert torch.corrcoef(torch.cat([start, end], dim=1).T)[0, 1] < 0.9


def test_the_sde_as_it_is_used():
    """Form sigma, 100 steps, last step 0.04 at w = 0.04: narrowed by less than 1 %, as above."""
    _, end = sde_ends("sigma", steps=100, last_step=0.04)
    assert end.mean().item() == pytest.approx(MEAN, abs=0.03)
    assert end.std().item() == pytest.approx(STD, rel=0.035)


def test_the_sde_evaluates_once_per_step_and_ends_with_a_long_mean_step():
    asked = []

    def velocity(x, t):
        asked.append(t.item())
        return x * 0 + 1

    x = torch.zeros(1, 1)
    integrators.euler_maruyama(velocity, x, torch.zeros(1, 4, 1), form="sigma", last_step=0.04)
    assert asked == pytest.approx([0, 0.24, 0.48, 0.72, 0.96])


def test_unknown_diffusion():
    with pytest.raises(ValueError, match="sigma, constant"):
        integrators.diffusion("SBDM", torch.tensor(0.5))


def test_a_stream_belongs_to_its_sample():
    together = integrators.noise_streams([3, 5, 8])
    first, second = (integrators.draw_streams(together, (4, 2)) for _ in range(2))
    alone = integrators.noise_streams([5])
    assert torch.equal(first[1], integrators.draw_streams(alone, (4, 2))[0])
    assert torch.equal(second[1], integrators.draw_streams(alone, (4, 2))[0])
    assert not torch.equal(first[1], second[1]) and not torch.equal(first[0], first[1])
