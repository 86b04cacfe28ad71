"""REPA (arXiv 2410.06940, Eq. 8): patches inside a diffusion transformer resemble a frozen network's features of the
clean image, after a small network of their own.

Shapes: B images, P patches, D width, W values of a feature.
"""

from torch import Tensor, nn
from torch.nn import functional as F


def projector(width: int, hidden: int, out: int) -> nn.Sequential:
    """(..., D) -> (..., W): three linear layers with SiLU between them (REPA, official code)."""
    layers = nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, out)
    return nn.Sequential(*layers)


def representation_loss(projected: Tensor, features: Tensor) -> Tensor:
    """1 - cosine of projected patches and features, both (B, P, W), averaged over patches and images; 0-d, float32.

    ValueError for features of another grid or width.
    """
    if projected.shape != features.shape:
        raise ValueError(
            f"the teacher's features are {tuple(features.shape[1:])} (patches, values), "
            f"and {tuple(projected.shape[1:])} are aligned with them"
        )
    return 1 - F.cosine_similarity(projected.float(), features.float(), dim=-1).mean()
