"""Vector rounding by optimal transport (OptVQ, arXiv 2412.15195), in the form that SFTok's code has (arXiv 2512.16910).

In training, vectors take entries of a codebook by a plan that gives every entry the same mass, so that none is left
out: a few rounds of Sinkhorn's algorithm over all vectors at hand. All of it is float32, whatever the autocast.

Shapes: B batch, N vectors of each sample, M = B * N, d their width, V entries of the codebook.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.quantizers.vector import Quantized, straight_through

ROUNDS, SHARPNESS, LEAST = 5, 10.0, 1e-8  # official code


@torch.no_grad()
def transported(distances: Tensor) -> Tensor:
    """Distances of M vectors to V entries (M, V) -> the entry that each vector gives most of its mass to, int64 (M,).

    The plan starts as exp(-SHARPNESS * distance) and is scaled in turn so that every entry receives 1 / V and every
    vector gives 1 / M. With few vectors, an entry goes to the one that is closest to it, however far.
    """
    count, entries = distances.shape
    # The official code standardises distances first, and drops what it has computed.
    plan = torch.exp(-SHARPNESS * (distances - distances.min()))
    plan = plan / (plan.sum() + LEAST)
    for _ in range(ROUNDS):
        plan = plan / (plan.sum(dim=0, keepdim=True) + LEAST) / entries
        plan = plan / (plan.sum(dim=1, keepdim=True) + LEAST) / count
    return plan.argmax(dim=1)


class TransportQuantizer(nn.Module):
    """A codebook of directions, all moved together by one linear map: every entry has a part of every gradient."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self.size = size
        self.embedding = nn.Parameter(torch.empty(1, size, width).uniform_(-1 / size, 1 / size))  # of one group
        self.shared_linear = nn.Linear(width, width)
        nn.init.eye_(self.shared_linear.weight)
        nn.init.zeros_(self.shared_linear.bias)

    def entries(self) -> Tensor:
        """The codebook (V, d) as it is compared: unit vectors."""
        with torch.autocast(self.embedding.device.type, enabled=False):
            return F.normalize(self.shared_linear(self.embedding[0]), dim=1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes int64 (...) -> their entries (..., d)."""
        return F.embedding(codes, self.entries())

    def forward(self, vectors: Tensor, *, balanced: bool = False) -> Quantized:
        """Vectors (B, N, d) of any floating type: each gets its nearest entry, if `balanced` that of a common plan."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors, entries = F.normalize(vectors.float(), dim=-1), self.entries()
            distances = torch.cdist(vectors.detach().flatten(0, 1), entries.detach())
            # DECISION: at use each vector takes its nearest entry. The official code has a plan there, too, over all
            # images of a batch, so that the codes of one depend on the others.
            codes = transported(distances) if balanced else distances.argmin(dim=1)
            codes = codes.view(vectors.shape[:2])
            chosen = F.embedding(codes, entries)
            losses = F.mse_loss(vectors, chosen.detach()), F.mse_loss(chosen, vectors.detach())
            return Quantized(straight_through(vectors, chosen), codes, *losses)
