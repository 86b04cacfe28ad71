"""Discrete-time Gaussian diffusion with a learned variance: schedules, forward process, training loss.

Sources: DDPM (arXiv 2006.11239), Sec. 2-3; improved DDPM (arXiv 2102.09672), Eq. 15-17; used by DiT (arXiv 2212.09748)
and by the diffusion loss of MAR (arXiv 2406.11838). The model predicts the noise and a variance logit per channel; or,
instead of the noise, the velocity of arXiv 2202.00512, or the clean data.

Shapes: B items, C channels (always last), T steps; x is (B, ..., C); t is int64 (B,) in 0..T-1, 0 nearest to the data.
Tables are computed in float64 and kept as float32 on each device that asks for them.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SCHEDULES = ("linear", "cosine")
PREDICTIONS = ("noise", "velocity", "clean")


def make_betas(schedule: str, steps: int) -> np.ndarray:
    """Variances beta_0..beta_{T-1} of the named schedule, float64 (T,)."""
    if schedule == "linear":  # DDPM, Sec. 4: 1e-4 to 0.02 at T = 1000, stretched to other T
        return np.linspace(0.1 / steps, 20.0 / steps, steps)
    if schedule == "cosine":  # improved DDPM, Eq. 17, with s = 0.008 and beta <= 0.999
        signal = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.minimum(1 - signal[1:] / signal[:-1], 0.999)
    raise ValueError(f"unknown diffusion schedule {schedule!r}; known: {', '.join(SCHEDULES)}")


class DiffusionLoss(NamedTuple):
    """Per-item terms, each (B,): their sum is the loss."""

    mse: Tensor  # squared error of what is predicted
    vb: Tensor  # variational bound in bits per value; teaches the variance only


class GaussianDiffusion:
    """The forward process of given betas, float64 (T,), and the loss of a model that predicts (noise, variance logit).

    With `prediction` "velocity" the model predicts signal * noise - scale * x_0 in place of the noise, for
    x_t = signal * x_0 + scale * noise (arXiv 2202.00512, Sec. 4 and App. D). Its squared error is that of the noise
    over signal^2. So times of little signal, where a prediction has to come from the condition, weigh more; and x_0
    follows from it without a division by the signal. With "clean" it predicts x_0, and no noise has to get through it.

    Not a module: it has no weights, and its tables must survive neither `.to(bfloat16)` nor a checkpoint.
    """

    def __init__(self, betas: np.ndarray, prediction: str = "noise"):
        if prediction not in PREDICTIONS:
            raise ValueError(f"unknown prediction {prediction!r}; known: {', '.join(PREDICTIONS)}")
        betas = np.asarray(betas, dtype=np.float64)
        if betas.ndim != 1 or len(betas) < 2 or not ((betas > 0) & (betas <= 1)).all():
            raise ValueError("betas must be a vector of at least two values in (0, 1]")
        self.steps = len(betas)
        self.betas, self.prediction = betas, prediction
        self.alpha_bar = np.cumprod(1 - betas)
        previous = np.append(1.0, self.alpha_bar[:-1])
        # q(x_t | x_0), and x_0 back from x_t and the noise (DDPM Eq. 4 and 15)
        self.signal = np.sqrt(self.alpha_bar)
        self.noise = np.sqrt(1 - self.alpha_bar)
        # q(x_{t-1} | x_t, x_0) (DDPM Eq. 6-7). Its variance is 0 at t = 0, where the value of t = 1 stands in.
        self.mean_from_x0 = betas * np.sqrt(previous) / (1 - self.alpha_bar)
        self.mean_from_xt = (1 - previous) * np.sqrt(1 - betas) / (1 - self.alpha_bar)
        variance = betas * (1 - previous) / (1 - self.alpha_bar)
        self.log_posterior = np.log(np.append(variance[1], variance[1:]))
        self.log_beta = np.log(betas)
        self._on_device: dict[torch.device, Tensor] = {}

    def _at(self, t: Tensor, ndim: int) -> tuple[Tensor, ...]:
        """(signal, noise, mean_from_x0, log_posterior, log_beta) at times t, each (B, 1, ..., 1) with `ndim` axes."""
        if t.device not in self._on_device:
            rows = np.stack([self.signal, self.noise, self.mean_from_x0, self.log_posterior, self.log_beta])
            self._on_device[t.device] = torch.from_numpy(rows.astype(np.float32)).to(t.device)
        return self._on_device[t.device][:, t].view(5, -1, *[1] * (ndim - 1)).unbind()

    def q_sample(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """A draw of q(x_t | x_0) from standard normal `noise` like x0 (B, ..., C) (DDPM Eq. 4)."""
        signal, scale, *_ = self._at(t, x0.ndim)
        return signal * x0 + scale * noise

    def clean(self, x: Tensor, predicted: Tensor, i: int) -> Tensor:
        """The x_0 (B, ..., C) that a prediction (B, ..., C) at x = x_i says (DDPM Eq. 15; arXiv 2202.00512, App. D)."""
        if self.prediction == "clean":
            return predicted
        if self.prediction == "velocity":
            return self.signal[i] * x - self.noise[i] * predicted
        return (x - self.noise[i] * predicted) / self.signal[i]

    def losses(self, output: Tensor, x0: Tensor, t: Tensor, noise: Tensor) -> DiffusionLoss:
        """Terms for the model's output (B, ..., 2C) = (prediction, variance logits) at x_t = q_sample(x0, t, noise).

        L_hybrid of improved DDPM (Eq. 16) in the form of DiT: MSE + VB, the latter averaged over values, in bits, *not*
        scaled down by 1/1000, and with the prediction detached. All in float32.
        """
        signal, scale, mean_from_x0, log_posterior, log_beta = self._at(t, x0.ndim)
        predicted, logits = output.float().chunk(2, dim=-1)
        x0 = x0.float()
        # The posterior mean is linear in x_0, and x_0 = (x_t - scale noise) / signal = signal x_t - scale velocity: the
        # true and the predicted mean differ by a multiple of the prediction's error. Nothing cancels at large t. At
        # t = 0 it is x_0 minus the model mean.
        if self.prediction == "clean":
            error, weight = x0 - predicted, mean_from_x0
        elif self.prediction == "velocity":
            error, weight = predicted - (signal * noise - scale * x0), mean_from_x0 * scale
        else:
            error, weight = predicted - noise, mean_from_x0 * scale / signal
        gap = weight * error.detach()
        widening = (logits + 1) / 2 * (log_beta - log_posterior)  # log of model variance / posterior variance, Eq. 15
        log_variance = log_posterior + widening
        kl = 0.5 * (widening - 1 + torch.exp(-widening) + gap.square() * torch.exp(-log_variance))
        is_first = (t == 0).view(-1, *[1] * (x0.ndim - 1))
        nats = torch.where(is_first, discretised_gaussian_nll(x0, gap, log_variance), kl)
        return DiffusionLoss(error.square().flatten(1).mean(1), nats.flatten(1).mean(1) / math.log(2))


def discretised_gaussian_nll(x: Tensor, centred: Tensor, log_variance: Tensor) -> Tensor:
    """-log probability (nats) of the bin x +- 1/255 under a normal with mean x - centred; shapes alike (DDPM Eq. 13).

    The bins are those of 8-bit images in [-1, 1]; the outer two are open. DECISION: latents are not pixels, but the
    official code keeps these bins (and open tails beyond +-0.999) for them, so we do.
    """
    inverse_std = torch.exp(-0.5 * log_variance)
    upper = approximate_normal_cdf(inverse_std * (centred + 1 / 255))
    lower = approximate_normal_cdf(inverse_std * (centred - 1 / 255))
    probability = torch.where(x < -0.999, upper, torch.where(x > 0.999, 1 - lower, upper - lower))
    return -torch.log(probability.clamp(min=1e-12))


def approximate_normal_cdf(x: Tensor) -> Tensor:
    """The tanh approximation of the standard normal's distribution function (error below 4e-4)."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
