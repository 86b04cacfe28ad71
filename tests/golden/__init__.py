"""Golden numbers: outputs of reference implementations, and the deterministic weights they were computed with."""

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).parent


def seeded_array(name: str, shape: tuple[int, ...], scale: float = 1.0) -> Tensor:
    """Standard normal numbers that depend on the name and the shape alone, times `scale`; float32."""
    numbers = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    return torch.from_numpy((scale * numbers).astype(np.float32))


def fill_by_name(module: nn.Module, scale: float = 0.05) -> None:
    """Overwrite every parameter: matrices with seeded noise, 1-d norm weights with 1 + noise, biases with noise.

    Two implementations that use the same parameter names and shapes get the same weights.
    """
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(_by_name(name, tuple(parameter.shape), scale))


def state_by_name(shapes: Mapping[str, Sequence[int]], scale: float) -> dict[str, Tensor]:
    """Weights under official names, as `fill_by_name` makes them."""
    return {name: _by_name(name, tuple(shape), scale) for name, shape in shapes.items()}


def _by_name(name: str, shape: tuple[int, ...], scale: float) -> Tensor:
    noise = seeded_array(name, shape, scale)
    return 1 + noise if len(shape) == 1 and name.endswith("weight") else noise


def assert_golden(tensor: Tensor, wanted: Mapping[str, Any], tolerance: float = 2e-5, relative: float = 1e-4) -> None:
    """That a tensor has the mean, the deviation and, spread evenly, the 32 values that a golden file says."""
    flat = tensor.detach().flatten().double()
    chosen, values = flat[torch.linspace(0, len(flat) - 1, 32).long()], torch.tensor(wanted["values"]).double()
    torch.testing.assert_close(chosen, values, atol=tolerance, rtol=relative)
    torch.testing.assert_close(flat.mean().item(), wanted["mean"], atol=tolerance, rtol=1e-6)
    torch.testing.assert_close(flat.std().item(), wanted["std"], atol=1e-12, rtol=relative)


def load(name: str) -> dict:
    """The golden file `tests/golden/<name>.json`."""
    return json.loads((HERE / f"{name}.json").read_text())
