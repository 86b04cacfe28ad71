"""Golden numbers: outputs of reference implementations, and the deterministic weights they were computed with."""

import json
import zlib
from pathlib import Path

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
            noise = seeded_array(name, tuple(parameter.shape), scale)
            is_gain = parameter.ndim == 1 and name.endswith("weight")
            parameter.copy_(1 + noise if is_gain else noise)


def load(name: str) -> dict:
    """The golden file `tests/golden/<name>.json`."""
    return json.loads((HERE / f"{name}.json").read_text())
