"""A network that predicts the clean data of a noisy state, and its velocity (JiT, arXiv 2511.13720, Sec. 3).

Shapes: B samples; states are (B, ...), times (B,).
"""

from typing import Literal

from torch import Tensor

from tesserae.diffusion.flow import per_sample

NEAREST = 0.05  # of 1 - t: an error is not divided by less (JiT, official code)

Predicts = Literal["velocity", "image"]


def as_velocity(said: Tensor, x: Tensor, t: Tensor, predicts: Predicts) -> Tensor:
    """What a network says of states x (B, ...) at times t (B,) or (1,), as a velocity, float32."""
    if predicts == "velocity":
        return said.float()
    return (said.float() - x) / (1 - per_sample(t, x)).clamp(min=NEAREST)
