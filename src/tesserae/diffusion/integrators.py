"""From noise (t = 0) to data (t = 1) along a learned velocity: ODE and SDE solvers for the linear path.

Sources: SiT (arXiv 2401.08740), Sec. 2, and the transport library of its code (steps, last step, diffusion forms).
Every solver takes `velocity(x, t)` with x (B, ...) and t a 0-d tensor, and returns the state at t = 1, like x.
Gradients are the caller's affair: wrap the call in torch.no_grad() for sampling.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor
from torchdiffeq import odeint

Velocity = Callable[[Tensor, Tensor], Tensor]

DIFFUSION_FORMS = ("sigma", "constant", "decreasing", "increasing-decreasing")


def noise_streams(seeds: list[int]) -> list[torch.Generator]:
    """One CPU generator per sample: a sample's noise depends on its own seed, never on its neighbours in the batch."""
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def draw_streams(streams: list[torch.Generator], shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise, float32 (B, *shape), row i from stream i by one call; advances the streams."""
    noise = torch.empty(len(streams), *shape)
    for row, stream in zip(noise, streams, strict=True):
        torch.randn(shape, generator=stream, out=row)
    return noise


def dopri5(velocity: Velocity, x: Tensor, *, atol: float, rtol: float) -> Tensor:
    """Adaptive Dormand-Prince 5(4) from t = 0 to 1, by torchdiffeq; local error below atol + rtol * |x|.

    The error that sets the step size is a root mean square over the whole batch, so a sample depends slightly, at the
    order of the tolerance, on the others in its batch; rounding can move the steps in the same way.
    """
    # DECISION: the last step overshoots t = 1, where nothing was learned, and is interpolated back, as in SiT's code.
    # A step that lands on 1 is 1 to 20 times as accurate on an exact Gaussian flow, but is not what was published.
    ends = torch.tensor([0.0, 1.0], device=x.device)
    return odeint(lambda t, state: velocity(state, t), x, ends, method="dopri5", atol=atol, rtol=rtol)[-1]


def euler(velocity: Velocity, x: Tensor, times: Tensor) -> Tensor:
    """Euler's method on the grid `times` (S + 1,), from its first to its last value: S evaluations."""
    for now, after in pairwise(times):
        x = x + (after - now) * velocity(x, now)
    return x


def heun(velocity: Velocity, x: Tensor, times: Tensor) -> Tensor:
    """Heun's second-order method (explicit trapezoid) on the grid `times` (S + 1,): 2 S evaluations."""
    for now, after in pairwise(times):
        step = after - now
        start = velocity(x, now)
        x = x + step / 2 * (start + velocity(x + step * start, after))
    return x


def score(velocity: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """Gradient of log p_t at x from the velocity at (x, t), t < 1: (t v - x) / (1 - t) on the linear path."""
    return (t * velocity - x) / (1 - t)


def diffusion(form: str, t: Tensor) -> Tensor:
    """The diffusion w(t) >= 0 of the SDE dx = (v + w * score) dt + sqrt(2 w) dW; one of DIFFUSION_FORMS.

    Any w has the marginals of the ODE; it sets how much fresh noise replaces old. Raises ValueError for other names.
    """
    # DECISION: no "SBDM" form, w = (1 - t) / t: with velocity prediction the time starts at 0, where it is infinite.
    # "linear" of the transport library is "sigma" on this path.
    match form:
        case "sigma":
            return 1 - t
        case "constant":
            return torch.ones_like(t)
        case "decreasing":
            return ((torch.cos(math.pi * t) + 1) / 2) ** 2
        case "increasing-decreasing":
            return torch.sin(math.pi * t) ** 2
    raise ValueError(f"unknown diffusion form {form!r}; known: {', '.join(DIFFUSION_FORMS)}")


def euler_maruyama(velocity: Velocity, x: Tensor, noise: Tensor, *, form: str, last_step: float) -> Tensor:
    """The SDE of `diffusion` in S + 1 evaluations: S equal noisy steps to t = 1 - last_step, then its mean to t = 1.

    `noise` (B, S, ...) holds the standard normal increments of x (B, ...). The last step is long and without noise
    because the score is singular at t = 1.
    """
    steps = noise.shape[1]
    times = torch.linspace(0, 1 - last_step, steps + 1, device=x.device)
    for i in range(steps):
        t, step = times[i], times[i + 1] - times[i]
        w = diffusion(form, t)
        v = velocity(x, t)
        x = x + step * (v + w * score(v, x, t)) + torch.sqrt(2 * w * step) * noise[:, i].to(x)
    t = times[-1]
    v = velocity(x, t)
    return x + last_step * (v + diffusion(form, t) * score(v, x, t))
