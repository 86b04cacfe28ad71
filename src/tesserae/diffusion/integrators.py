"""From noise (t = 0) to data (t = 1) along a learned velocity: ODE and SDE solvers for the linear path.

Sources: SiT (arXiv 2401.08740), Sec. 2, and the transport library of its code (steps, last step, diffusion forms).
Every solver returns the state at t = 1, like x (B, ...). Those with a fixed grid call `velocity(x, t)` with t a 0-d
tensor; `dopri5` gives each sample a time of its own. Nothing here mixes samples: one depends on the others in its batch
only as far as the velocity does. Gradients are the caller's affair: wrap the call in torch.no_grad() for sampling.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]
RowVelocity = Callable[[Tensor, Tensor, Tensor], Tensor]  # x (A, ...), t (A,), rows (A,) int64: the samples they are of

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


# Dormand-Prince 5(4) with torchdiffeq's numbers: the time of each evaluation, as a part of the step, and its weights of
# the slopes before it; the weights of the error (Shampine's embedded method) and of the middle of the step.
STAGES = (
    (1 / 5, (1 / 5,)),
    (3 / 10, (3 / 40, 9 / 40)),
    (4 / 5, (44 / 45, -56 / 15, 32 / 9)),
    (8 / 9, (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729)),
    (1, (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656)),
    (1, (35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)),
)
ERROR = (
    35 / 384 - 1951 / 21600,
    0,
    500 / 1113 - 22642 / 50085,
    125 / 192 - 451 / 720,
    -2187 / 6784 + 12231 / 42400,
    11 / 84 - 649 / 6300,
    -1 / 60,
)
MIDDLE = (
    6025192743 / 60171106304,
    0,
    51252292925 / 130801643196,
    -2691868925 / 90256659456,
    187940372067 / 3189068634112,
    -1776094331 / 39487288512,
    11237099 / 470086768,
)


# DEPARTS: steps grow by 5 at most, not by torchdiffeq's 10. The error of the first step is below float32 rounding,
# which then chose the second step: with a trained SiT at rtol 1e-3, the same samples in batches of 1 and of 48 came
# 0.03 to 0.09 apart; with 5, 0.00002 to 0.001, for at most 11 % more evaluations (`benchmarks/sampling.py`).
LARGEST_GROWTH = 5.0


def weighted(slopes: list[Tensor], weights: tuple[float, ...]) -> Tensor:
    """The sum of slopes times weights."""
    return sum(weight * slope for slope, weight in zip(slopes, weights, strict=True))


def spread(values: Tensor, x: Tensor) -> Tensor:
    """One value per sample (A,) -> (A, 1, ...), to go with x (A, ...)."""
    return values.view(-1, *[1] * (x.ndim - 1))


def rms(x: Tensor) -> Tensor:
    """Root mean square of each sample: (A, ...) -> (A,)."""
    return x.flatten(1).square().mean(1).sqrt()


def per_sample(control: Callable[..., float], *values: Tensor) -> Tensor:
    """`control` of the values (A,) of each sample, in Python floats -> float64 (A,).

    Not in tensors: their powers differ in the last bit with a sample's place in the batch (vector or scalar code).
    """
    numbers = zip(*(value.tolist() for value in values), strict=True)
    return torch.tensor([control(*row) for row in numbers], dtype=torch.float64, device=values[0].device)


def trial_step(state: float, slope: float) -> float:
    """The step that probes the curvature, from the scaled norms of state and slope (Hairer et al., Sec. II.4)."""
    return 1e-6 if state < 1e-5 or slope < 1e-5 else 0.01 * state / slope


def first_step(trial: float, slope: float, curvature: float) -> float:
    """The first step from the trial step, the scaled norms of the slope and of its change in the trial step."""
    largest = max(slope, curvature)
    step = max(1e-6, 1e-3 * trial) if largest <= 1e-15 else (0.01 / largest) ** (1 / 5)
    return min(100 * trial, step)


def step_factor(ratio: float, growth: float) -> float:
    """What a step is multiplied by, from its error over the tolerance: 0.2 to `growth`, never shrinking below it."""
    if ratio == 0:
        return growth
    return min(max(0.9 / ratio ** (1 / 5), 1.0 if ratio < 1 else 0.2), growth)


def dopri5(velocity: RowVelocity, x: Tensor, *, atol: float, rtol: float, growth: float = LARGEST_GROWTH) -> Tensor:
    """Adaptive Dormand-Prince 5(4) from t = 0 to 1 for x (B, ...), with times and steps of its own for each sample.

    A step is accepted if the root mean square over the sample of error / (atol + rtol * |x|) is at most 1. Each sample
    is what torchdiffeq's "dopri5" with ifactor = `growth` returns for it alone, up to rounding, after as many
    evaluations: two, and six per step tried. `velocity(x, t, rows)` sees the unfinished samples only: states (A, ...)
    and times (A,) of the `rows` (A,) of the batch.

    If the velocity of a sample is the same to the last bit in any batch, so is the result (on a CPU; a GPU may add up
    the norms in another order). Otherwise the steps amplify its rounding, more so the more they may grow.

    Raises FloatingPointError when a step vanishes: the velocity is not finite, or changes too fast.
    """

    def evaluate(x: Tensor, t: Tensor) -> Tensor:
        return velocity(x, t.to(x.dtype), rows)

    end, rows = torch.empty_like(x), torch.arange(len(x), device=x.device)
    t = torch.zeros(len(x), dtype=torch.float64, device=x.device)  # and steps, whatever the states: as in torchdiffeq
    slope, scale = evaluate(x, t), atol + rtol * x.abs()
    norm = rms(slope / scale)
    trial = per_sample(trial_step, rms(x / scale), norm)
    change = evaluate(x + spread(trial.to(x), x) * slope, trial) - slope
    step = per_sample(first_step, trial, norm, rms(change / scale) / trial)
    while len(rows):
        until = t + step
        if not (until > t).all():  # also when it is not a number
            stuck = int((until > t).logical_not().nonzero()[0])
            raise FloatingPointError(
                f"sample {rows[stuck]} of the batch: no step is small enough at t = {t[stuck]:.6f}"
            )
        h, slopes = spread(step.to(x), x), [slope]
        for fraction, weights in STAGES:
            after = x + h * weighted(slopes, weights)
            slopes.append(evaluate(after, t + fraction * step))  # the last one is the first of the next step
        ratio = rms(h * weighted(slopes, ERROR) / (atol + rtol * torch.maximum(x.abs(), after.abs())))
        accepted = ratio <= 1
        # DECISION: the last step overshoots t = 1, where nothing was learned, and is interpolated back, as in SiT's
        # code. A step that lands on 1 is 1 to 20 times as accurate on an exact Gaussian flow, but is not what was
        # published.
        done = accepted & (until >= 1)
        if done.any():
            at = spread(((1 - t) / step).to(x), x)
            end[rows[done]] = interpolate(x, after, slopes, h, at)[done]
        t = torch.where(accepted, until, t)
        x = torch.where(spread(accepted, x), after, x)
        slope = torch.where(spread(accepted, x), slopes[-1], slope)
        step = step * per_sample(partial(step_factor, growth=growth), ratio)
        rows, t, step, x, slope = (kept[~done] for kept in (rows, t, step, x, slope))
    return end


def interpolate(x: Tensor, after: Tensor, slopes: list[Tensor], h: Tensor, at: Tensor) -> Tensor:
    """The state `at` (0 to 1) of the step h from x to `after`: on the quartic by both, their slopes and the middle."""
    first, last = h * slopes[0], h * slopes[-1]
    middle = x + h * weighted(slopes, MIDDLE)
    quadratic = last - 4 * first - 11 * x - 5 * after + 16 * middle
    cubic = 5 * first - 3 * last + 18 * x + 14 * after - 32 * middle
    quartic = 2 * (last - first) - 8 * (x + after) + 16 * middle
    return x + at * (first + at * (quadratic + at * (cubic + at * quartic)))


def euler(velocity: Velocity, x: Tensor, times: Tensor) -> Tensor:
    """Euler's method on the grid `times` (S + 1,), from its first to its last value: S evaluations."""
    for now, after in pairwise(times):
        x = x + (after - now) * velocity(x, now)
    return x


def midpoint(velocity: Velocity, x: Tensor, times: Tensor) -> Tensor:
    """The midpoint method, of second order, on the grid `times` (S + 1,): 2 S evaluations."""
    for now, after in pairwise(times):
        half = (after - now) / 2
        x = x + (after - now) * velocity(x + half * velocity(x, now), now + half)
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
