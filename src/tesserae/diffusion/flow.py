"""Flow matching on the linear path (arXiv 2209.03003 and 2210.02747; SiT, arXiv 2401.08740, Sec. 2).

Time convention, everywhere in the project: t = 0 is noise, t = 1 is data, t in [0, 1].
Shapes: B batch; states are (B, ...), times (B,).
"""

from collections.abc import Callable

import torch
from torch import Tensor


def per_sample(t: Tensor, x: Tensor) -> Tensor:
    """Times (B,) -> (B, 1, ..., 1), to be broadcast over the states x (B, ...)."""
    return t.view(-1, *[1] * (x.ndim - 1))


def path(data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The state x_t = t data + (1 - t) noise: SiT's linear interpolant (Sec. 2), read towards the data. (B, ...)"""
    t = per_sample(t, data)
    return t * data + (1 - t) * noise


def path_velocity(data: Tensor, noise: Tensor) -> Tensor:
    """dx_t/dt = data - noise: what the network learns to predict from x_t (arXiv 2209.03003, Eq. 1). (B, ...)"""
    return data - noise


def draw_noise(data: Tensor, rng: torch.Generator) -> Tensor:
    """Standard normal noise of the shape, dtype and device of the data, from the stream `rng`."""
    return torch.randn(data.shape, generator=rng, device=rng.device, dtype=data.dtype).to(data.device)


def draw_uniform_times(data: Tensor, rng: torch.Generator) -> Tensor:
    """One t ~ U(0, 1) per sample, (B,), dtype and device of the data."""
    return torch.rand(len(data), generator=rng, device=rng.device, dtype=data.dtype).to(data.device)


def draw_logit_normal_times(data: Tensor, rng: torch.Generator, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """One t = sigmoid(N(mean, std^2)) per sample, (B,): the middle of the path more often (arXiv 2403.03206, Sec. 3.1),
    or with a negative mean the noisier part.
    """
    drawn = torch.randn(len(data), generator=rng, device=rng.device, dtype=data.dtype).to(data.device)
    return (mean + std * drawn).sigmoid()


def shifted(t: Tensor, shift: float) -> Tensor:
    """Times moved towards the noise if shift < 1, with 0 and 1 fixed: shift t / (1 + (shift - 1) t).

    The resolution-dependent shift of arXiv 2403.03206, with time the other way round; LightningDiT, official code.
    """
    return shift * t / (1 + (shift - 1) * t)


def cosine_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """1 - the cosine between two velocities (B, N, C) of a token, averaged over tokens and samples; 0-d, float32."""
    return 1 - torch.nn.functional.cosine_similarity(predicted.float(), target.float(), dim=-1).mean()


def velocity_mse(velocity: Callable[[Tensor, Tensor], Tensor], data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The flow matching loss: mean squared error of velocity(x_t, t) over samples, tokens, channels; 0-d, float32."""
    predicted = velocity(path(data, noise, t), t)
    return torch.nn.functional.mse_loss(predicted.float(), path_velocity(data, noise).float())
