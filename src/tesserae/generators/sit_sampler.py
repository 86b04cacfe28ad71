"""Sampling from SiT: the solvers of its flow, guided on all channels.

Source: SiT (arXiv 2401.08740), Sec. 2; the guidance is that of l-DeTok (arXiv 2507.15856, App. A).
Shapes: B samples, N tokens, C channels.
"""

import torch
from torch import Tensor

from tesserae.diffusion import integrators
from tesserae.diffusion.guidance import guided_velocity
from tesserae.generators.sit import SiT

# DECISION: no table of l-DeTok uses the SDE. Diffusion and last step are the defaults of SiT's official sampling script
# (the last step whatever the number of steps), because the form that the transport library prefers is singular here.
SDE_FORM = "sigma"
SDE_LAST_STEP = 0.04


@torch.no_grad()
def sample(
    model: SiT,
    labels: Tensor,
    *,
    seeds: list[int],
    guidance: float,
    method: str,
    steps: int | None = None,
    atol: float | None = None,
    rtol: float | None = None,
) -> Tensor:
    """Tokens (B, N, C), float32, of the classes `labels` (B,) int64; sample i uses only the noise of seeds[i].

    "euler" and "heun" take `steps` equal steps (the official num_steps counts grid points, one more); "dopri5" takes
    `atol` and `rtol` instead; "euler_maruyama" makes `steps` evaluations, and holds the noise of all of them in memory,
    4 * steps * N * C bytes per sample.

    Sample i is a function of labels[i], seeds[i] and the settings: it does not depend on the size of the batch, on the
    other samples in it or on their order. What remains is rounding, because matrix products of another size may add in
    another order: some 1e-6 with a fixed grid, up to 1e-3 (median 1e-5) after the adaptive steps of "dopri5" with a
    trained model at rtol 1e-3.

    Raises ValueError for an unknown method, a setting that the method needs and lacks, or a wrong number of seeds.
    """
    if len(seeds) != len(labels):
        raise ValueError(f"{len(seeds)} seeds for {len(labels)} labels")
    needed = {"dopri5": {"atol": atol, "rtol": rtol}}.get(method, {"steps": steps})
    if missing := [name for name, value in needed.items() if value is None]:
        raise ValueError(f"method {method!r} needs {' and '.join(missing)}")
    if steps is not None and steps < (2 if method == "euler_maruyama" else 1):
        raise ValueError(f"too few steps for method {method!r}: {steps}")

    streams = integrators.noise_streams(seeds)
    x = integrators.draw_streams(streams, model.token_shape).to(labels.device)
    velocity = guided_velocity(model, labels, guidance)
    match method:
        case "dopri5":
            return integrators.dopri5(velocity, x, atol=atol, rtol=rtol)
        case "euler":
            return integrators.euler(velocity, x, torch.linspace(0, 1, steps + 1, device=x.device))
        case "heun":
            return integrators.heun(velocity, x, torch.linspace(0, 1, steps + 1, device=x.device))
        case "euler_maruyama":
            noise = integrators.draw_streams(streams, (steps - 1, *model.token_shape))
            return integrators.euler_maruyama(velocity, x, noise, form=SDE_FORM, last_step=SDE_LAST_STEP)
    raise ValueError(f"unknown method {method!r}; known: dopri5, euler, heun, euler_maruyama")
