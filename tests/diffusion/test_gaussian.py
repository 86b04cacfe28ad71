"""Gaussian diffusion: schedules, loss against independent formulas, sampling of a distribution with known noise."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from tesserae.diffusion.ddpm import DDPMSampler, guide, spaced_timesteps
from tesserae.diffusion.gaussian import GaussianDiffusion, make_betas

SCHEDULES = ["linear", "cosine"]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_linear_schedule_is_that_of_ddpm():
    betas = make_betas("linear", 1000)
    assert betas[[0, -1]] == pytest.approx([1e-4, 0.02])
    assert np.diff(betas) == pytest.approx(np.diff(betas)[0])


def test_cosine_schedule_follows_its_closed_form_up_to_the_cap():
    process = GaussianDiffusion(make_betas("cosine", 1000))
    t = np.arange(1, 1000)
    closed = (np.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) / np.cos(0.008 / 1.008 * math.pi / 2)) ** 2
    assert process.alpha_bar[:-1] == pytest.approx(closed, rel=1e-9)
    assert process.betas.max() == process.betas[-1] == 0.999


def test_impossible_betas_and_unknown_schedules_are_refused():
    with pytest.raises(ValueError, match="cosine"):
        make_betas("sigmoid", 10)
    for betas in ([0.1], [0.1, 0.0], [0.1, 1.5], [[0.1, 0.2]]):
        with pytest.raises(ValueError, match="betas"):
            GaussianDiffusion(np.array(betas))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_q_sample_equals_the_chain_of_single_steps(schedule):
    process = GaussianDiffusion(make_betas(schedule, 50))
    mean, variance = 1.0, 0.0
    for t, beta in enumerate(process.betas):
        mean, variance = mean * math.sqrt(1 - beta), variance * (1 - beta) + beta
        x = process.q_sample(torch.ones(1, 2, 3), torch.tensor([t]), torch.zeros(1, 2, 3))
        noise_only = process.q_sample(torch.zeros(1, 2, 3), torch.tensor([t]), torch.ones(1, 2, 3))
        torch.testing.assert_close(x, torch.full_like(x, mean))
        torch.testing.assert_close(noise_only, torch.full_like(x, math.sqrt(variance)))


def independent_vb(betas, predicted, logits, x0, x_t, t: int) -> torch.Tensor:
    """The bound in bits from Bayes' rule and torch.distributions, float64, one t >= 1."""
    bar, before, beta = np.prod(1 - betas[: t + 1]), np.prod(1 - betas[:t]), betas[t]

    def posterior(clean):  # x_{t-1} ~ N(sqrt(before) clean, 1 - before), x_t ~ N(sqrt(1 - beta) x_{t-1}, beta)
        precision = 1 / (1 - before) + (1 - beta) / beta
        weighted = math.sqrt(before) * clean / (1 - before) + math.sqrt(1 - beta) * x_t / beta
        return weighted / precision, 1 / precision

    mean, variance = posterior(x0)
    model_mean, _ = posterior((x_t - math.sqrt(1 - bar) * predicted) / math.sqrt(bar))
    log_variance = (logits + 1) / 2 * math.log(beta) + (1 - logits) / 2 * math.log(variance)
    kl = kl_divergence(Normal(mean, math.sqrt(variance)), Normal(model_mean, torch.exp(log_variance / 2)))
    return kl.mean() / math.log(2)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("t", [1, 2, 40, 500, 900, 990])
def test_vb_is_the_kl_to_the_true_posterior(schedule, t):
    betas = make_betas(schedule, 1000)
    process = GaussianDiffusion(betas)
    x0, noise, predicted, logits = (normal(1, 5, 4, seed=s).double() for s in range(4))
    predicted = noise + 0.05 * predicted
    bar = np.prod(1 - betas[: t + 1])
    x_t = math.sqrt(bar) * x0 + math.sqrt(1 - bar) * noise
    expected = independent_vb(betas, predicted, logits, x0, x_t, t)
    output = torch.cat([predicted, logits], -1).float()
    terms = process.losses(output, x0.float(), torch.tensor([t]), noise.float())
    assert terms.vb.item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)
    assert terms.mse.item() == pytest.approx((predicted - noise).square().mean().item(), rel=1e-4)


@pytest.mark.parametrize("t", [0, 1, 40, 500, 900])
def test_a_velocity_is_judged_as_the_noise_that_says_the_same(t):
    betas = make_betas("cosine", 1000)
    by_noise, by_velocity = GaussianDiffusion(betas), GaussianDiffusion(betas, "velocity")
    x0, noise, off, logits = (normal(7, 4, seed=s) for s in range(4))
    signal, scale = by_noise.signal[t], by_noise.noise[t]
    predicted = noise + 0.1 * off
    x_t = signal * x0 + scale * noise
    velocity = (predicted - scale * x_t) / signal  # x_0 and x_t on one circle: noise = scale x_t + signal velocity
    times = torch.full((7,), t)
    one = by_noise.losses(torch.cat([predicted, logits], -1), x0, times, noise)
    other = by_velocity.losses(torch.cat([velocity, logits], -1), x0, times, noise)
    torch.testing.assert_close(other.vb, one.vb, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(other.mse * signal**2, one.mse, rtol=1e-3, atol=1e-7)
    cleaned = by_velocity.clean(x_t, velocity, t), by_noise.clean(x_t, predicted, t)
    torch.testing.assert_close(*cleaned, rtol=1e-3, atol=1e-4)


def test_velocities_sample_what_noises_sample():
    betas, noise = make_betas("cosine", 1000), normal(20, 50, 3)
    by_noise, by_velocity = (DDPMSampler(GaussianDiffusion(betas, kind), 20) for kind in ("noise", "velocity"))
    process = by_noise.process

    def velocity(x, i):  # of data that are all zero: x_t is noise alone, so it is x_t / scale
        return torch.cat([process.signal[i] / process.noise[i] * x, torch.zeros_like(x)], -1)

    def same_as_noise(x, i):
        return torch.cat([x / process.noise[i], torch.zeros_like(x)], -1)

    torch.testing.assert_close(by_velocity.sample(velocity, noise, 1.0), by_noise.sample(same_as_noise, noise, 1.0))


def test_an_unknown_prediction_is_refused():
    with pytest.raises(ValueError, match="unknown prediction 'x0'; known: noise, velocity"):
        GaussianDiffusion(make_betas("linear", 10), "x0")


def test_a_wrong_velocity_stays_in_range_where_a_wrong_noise_explodes():
    betas, noise = make_betas("cosine", 1000), normal(20, 50, 3)
    wrong = lambda x, i: torch.zeros(50, 6)
    by_noise, by_velocity = (DDPMSampler(GaussianDiffusion(betas, kind), 20) for kind in ("noise", "velocity"))
    assert by_noise.sample(wrong, noise, 1.0).abs().max() > 1000
    assert by_velocity.sample(wrong, noise, 1.0).abs().max() < 10


def test_vb_at_the_first_step_is_the_discretised_likelihood():
    betas = make_betas("cosine", 1000)
    process = GaussianDiffusion(betas)
    x0 = torch.tensor([[-2.0, -0.5, 0.0, 0.3, 0.7, 1.5]])  # the ends lie in the open bins
    noise, logits = normal(1, 6, seed=1), normal(1, 6, seed=2)
    predicted = noise + 0.3 * normal(1, 6, seed=3)
    x_t = math.sqrt(1 - betas[0]) * x0 + math.sqrt(betas[0]) * noise
    mean = (x_t - math.sqrt(betas[0]) * predicted) / math.sqrt(1 - betas[0])
    floor = betas[1] * betas[0] / (1 - (1 - betas[0]) * (1 - betas[1]))  # posterior variance at t = 1
    std = torch.exp(((logits + 1) * math.log(betas[0]) + (1 - logits) * math.log(floor)) / 4)
    model = Normal(mean.double(), std.double())
    upper, lower = model.cdf(x0.double() + 1 / 255), model.cdf(x0.double() - 1 / 255)
    upper[0, -1], lower[0, 0] = 1, 0
    expected = -torch.log2(upper - lower).mean()
    terms = process.losses(torch.cat([predicted, logits], -1), x0, torch.tensor([0]), noise)
    assert terms.vb.item() == pytest.approx(expected.item(), rel=5e-3)  # the tanh approximation of the cdf


def test_vb_teaches_the_variance_only_and_mse_the_noise_only():
    process = GaussianDiffusion(make_betas("cosine", 100))
    output = normal(6, 8).requires_grad_()
    t = torch.tensor([0, 0, 1, 5, 50, 99])
    terms = process.losses(output, normal(6, 4, seed=1), t, normal(6, 4, seed=2))
    (from_vb,) = torch.autograd.grad(terms.vb.sum(), output, retain_graph=True)
    (from_mse,) = torch.autograd.grad(terms.mse.sum(), output)
    assert from_vb[:, :4].abs().max() == 0 and (from_vb[:, 4:] != 0).any(1).all()
    assert from_mse[:, 4:].abs().max() == 0 and (from_mse[:, :4] != 0).all()


def test_perfect_prediction_costs_nothing():
    process = GaussianDiffusion(make_betas("linear", 1000))
    noise, t = normal(999, 3), torch.arange(1, 1000)
    terms = process.losses(torch.cat([noise, -torch.ones_like(noise)], -1), normal(999, 3, seed=1), t, noise)
    assert terms.mse.abs().max() == 0
    assert terms.vb.abs().max() < 1e-6


def test_terms_are_means_over_tokens():
    process = GaussianDiffusion(make_betas("linear", 1000))
    t = torch.tensor([0, 700])
    output, x0, noise = normal(2, 5, 6), normal(2, 5, 3, seed=1), normal(2, 5, 3, seed=2)
    together = process.losses(output, x0, t, noise)
    rows = process.losses(output.flatten(0, 1), x0.flatten(0, 1), t.repeat_interleave(5), noise.flatten(0, 1))
    for a, b in zip(together, rows, strict=True):
        torch.testing.assert_close(a, b.view(2, 5).mean(1))


def test_tables_made_while_sampling_serve_the_training():
    process = GaussianDiffusion(make_betas("cosine", 10))
    x0, noise, t = normal(3, 2), normal(3, 2, seed=1), torch.tensor([0, 4, 9])
    with torch.inference_mode():
        process.q_sample(x0, t, noise)
    output = normal(3, 4).requires_grad_()
    sum(term.sum() for term in process.losses(output, x0, t, noise)).backward()
    assert output.grad.isfinite().all()


@given(total=st.integers(2, 1200), data=st.data())
def test_spaced_timesteps_are_even(total, data):
    count = data.draw(st.integers(2, total))
    steps = spaced_timesteps(total, count)
    gaps = np.diff(steps)
    assert len(steps) == count and steps[0] == 0 and steps[-1] == total - 1
    assert gaps.min() >= 1 and gaps.max() - gaps.min() <= 1


def test_spaced_timesteps_of_the_papers():
    hundred, quarter = spaced_timesteps(1000, 100), spaced_timesteps(1000, 250)
    assert hundred[:3] + hundred[-2:] == [0, 10, 20, 989, 999]
    assert quarter[:5] + quarter[-2:] == [0, 4, 8, 12, 16, 995, 999]
    for count in (1, 11):
        with pytest.raises(ValueError, match="diffusion steps"):
            spaced_timesteps(10, count)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [20, 100])
def test_sampler_with_exact_noise_returns_the_gaussian(schedule, steps):
    """For x_0 ~ N(m, s^2) the best noise prediction and the true reverse variance are known in closed form."""
    mean, std = torch.tensor([0.0, 2.0, -1.0, 0.5]), torch.tensor([1.0, 0.5, 0.2, 1.5])
    sampler = DDPMSampler(GaussianDiffusion(make_betas(schedule, 1000)), steps)
    p = sampler.process

    def model(x: torch.Tensor, i: int) -> torch.Tensor:
        marginal = p.alpha_bar[i] * std**2 + 1 - p.alpha_bar[i]
        noise = p.noise[i] * (x - p.signal[i] * mean) / marginal
        # Var(x_{i-1} | x_i) = posterior variance + mean_from_x0^2 Var(x_0 | x_i), expressed as a variance logit
        variance = math.exp(p.log_posterior[i]) + p.mean_from_x0[i] ** 2 * std**2 * (1 - p.alpha_bar[i]) / marginal
        fraction = (variance.log() - p.log_posterior[i]) / (p.log_beta[i] - p.log_posterior[i])
        return torch.cat([noise, (2 * fraction - 1).expand_as(x)], dim=-1)

    n = 20_000
    x = sampler.sample(model, normal(steps, n, 4), temperature=1.0)
    # 5 standard errors. At i = 0 the sampler returns the mean of x_0 given x_{t=0}, hence a little less spread; the
    # linear schedule also starts from N(0, 1) where the true marginal keeps 0.6 % of the mean.
    assert ((x.mean(0) - mean).abs() < 5 * std / math.sqrt(n) + 0.01).all()
    assert ((x.std(0) / std - 1).abs() < 5 / math.sqrt(2 * n) + 0.01).all()


def test_temperature_scales_the_step_noise_but_not_the_start():
    sampler = DDPMSampler(GaussianDiffusion(make_betas("linear", 1000)), 10)
    noise, output = normal(10, 4, 3), normal(4, 6, seed=1)
    x = noise[0]
    cold, warm, hot = (sampler.step(x, output, 5, noise[1], temperature) for temperature in (0.0, 1.0, 2.0))
    torch.testing.assert_close(hot - cold, 2 * (warm - cold))
    assert (warm - cold).abs().max() > 0.01
    # With no noise predicted, x_0 = x / signal at every step: the cold sampler only rescales the initial noise.
    still = sampler.sample(lambda x, i: torch.zeros(4, 6), noise, temperature=0.0)
    torch.testing.assert_close(still, noise[0] / sampler.process.signal[-1])
    with pytest.raises(ValueError, match="noise for 9 steps"):
        sampler.sample(lambda x, i: x, noise[1:], temperature=1.0)


def test_the_limit_holds_clean_predictions_in_range_and_is_idle_inside_it():
    process = GaussianDiffusion(make_betas("cosine", 1000))
    noise = normal(20, 50, 3)
    free, tight, loose = (DDPMSampler(process, 20, limit) for limit in (None, 5.0, 1e9))
    wrong = lambda x, i: torch.zeros(50, 6)
    assert free.sample(wrong, noise, 1.0).abs().max() > 1000
    assert tight.sample(wrong, noise, 1.0).abs().max() <= 5
    torch.testing.assert_close(loose.sample(wrong, noise, 1.0), free.sample(wrong, noise, 1.0))


def test_guidance_acts_on_all_channels_and_keeps_the_conditional_variance():
    conditional, unconditional = normal(2, 5, 8), normal(2, 5, 8, seed=1)
    torch.testing.assert_close(guide(conditional, unconditional, 1.0), conditional)
    out = guide(conditional, unconditional, 3.0)
    torch.testing.assert_close(out[..., :4], 3 * conditional[..., :4] - 2 * unconditional[..., :4])
    assert torch.equal(out[..., 4:], conditional[..., 4:])
