"""Vector rounding (arXiv 1711.00937, Sec. 3): the nearest entry of a codebook that is trained by gradient.

With online clustering (CVQ-VAE, arXiv 2307.15139, Sec. 3.2), entries that are hardly ever chosen move to vectors that
were quantised. All of it is float32, whatever the autocast.

Shapes: B batch, N vectors of each sample, d their width, V entries of the codebook.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DECAY = 0.99  # of the running frequency of codes (TA-TiTok, official code)


class Quantized(NamedTuple):
    vectors: Tensor  # float32 (B, N, d): entries of the codebook, whose gradient goes to what was quantised
    codes: Tensor  # int64 (B, N)
    commitment: Tensor  # 0-d: mean squared distance that pulls the vectors to their entries
    codebook: Tensor  # 0-d: the same number, pulling the entries to their vectors


def squared_distances(vectors: Tensor, entries: Tensor) -> Tensor:
    """Of vectors (..., d) to entries (V, d): float32 (..., V)."""
    with torch.autocast(vectors.device.type, enabled=False):
        vectors, entries = vectors.float(), entries.float()
        squares = vectors.square().sum(dim=-1, keepdim=True) + entries.square().sum(dim=-1)
        return squares - 2 * vectors @ entries.T


@torch.no_grad()
def nearest(vectors: Tensor, entries: Tensor) -> Tensor:
    """Codes int64 (...) of the entries (V, d) nearest to vectors (..., d); the first of equals."""
    return squared_distances(vectors, entries).argmin(dim=-1)


def straight_through(vectors: Tensor, chosen: Tensor) -> Tensor:
    """The values of `chosen` (..., d), with a gradient as if they were `vectors`."""
    return vectors + (chosen - vectors).detach()


def codebook_health(codes: Tensor, vocabulary: int) -> dict[str, Tensor]:
    """Of codes, int64 of any shape: the fraction of entries that occur, and their perplexity; both 0-d."""
    ones = torch.ones(codes.numel(), device=codes.device)
    frequency = ones.new_zeros(vocabulary).scatter_add_(0, codes.flatten(), ones) / codes.numel()
    return {"usage": (frequency > 0).float().mean(), "perplexity": torch.special.entr(frequency).sum().exp()}


class VectorQuantizer(nn.Module):
    """A codebook. With `l2`, vectors and entries have unit length when they are compared and passed on.

    With `clustering`, a forward pass in training leaves behind what `collected` returns, and `renew` takes it.
    """

    def __init__(self, size: int, width: int, *, clustering: bool, l2: bool = False):
        super().__init__()
        self.size, self.clustering, self.l2 = size, clustering, l2
        self.embedding = nn.Embedding(size, width)
        nn.init.uniform_(self.embedding.weight, -1 / size, 1 / size)
        if clustering:
            self.register_buffer("embed_prob", torch.zeros(size))
        self.seen: dict[str, Tensor] = {}

    def entries(self) -> Tensor:
        """The codebook (V, d) as it is compared."""
        return F.normalize(self.embedding.weight, dim=1) if self.l2 else self.embedding.weight

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes int64 (...) -> their entries (..., d)."""
        return F.embedding(codes, self.entries())

    def forward(self, vectors: Tensor) -> Quantized:
        """Vectors (B, N, d) of any floating type."""
        with torch.autocast(vectors.device.type, enabled=False):
            plain = vectors.float()
            vectors = F.normalize(plain, dim=-1) if self.l2 else plain
            distances = squared_distances(vectors.detach(), self.entries().detach())
            codes = distances.argmin(dim=-1)
            if self.clustering and self.training:
                self.seen = self._closest(plain.detach(), distances, codes)
            chosen = self.lookup(codes)
            losses = F.mse_loss(vectors, chosen.detach()), F.mse_loss(chosen, vectors.detach())
            return Quantized(straight_through(vectors, chosen), codes, *losses)

    def _closest(self, vectors: Tensor, distances: Tensor, codes: Tensor) -> dict[str, Tensor]:
        distances, ones = distances.flatten(0, 1), torch.ones_like(codes)
        chosen = distances.argmin(dim=0)  # for each entry the vector closest to it, the first of equals
        return {
            "counts": codes.new_zeros(self.size).scatter_add_(0, codes.flatten(), ones.flatten()),
            "distance": distances.gather(0, chosen[None])[0],
            "closest": vectors.flatten(0, 1)[chosen],
        }

    def collected(self) -> dict[str, Tensor]:
        """Of the last forward pass in training: how often each entry was chosen, int64 "counts" (V,), and the vector
        closest to each, "closest" (V, d) as it came, at "distance" (V,). Empty without clustering.
        """
        seen, self.seen = self.seen, {}
        return seen

    @torch.no_grad()
    def renew(self, *, counts: Tensor, distance: Tensor, closest: Tensor) -> None:
        """Move entries towards their closest vector, the further the rarer they are: CVQ-VAE, Eqs. 4 and 5.

        For what all M micro-batches collected, stacked: int64 (M, V), (M, V), (M, V, d). The result is
        that of the whole batch in one micro-batch; among equally close vectors the first micro-batch's is taken.
        """
        frequency = counts.sum(dim=0) / counts.sum()
        self.embed_prob.mul_(DECAY).add_(frequency, alpha=1 - DECAY)
        moved = torch.exp(-self.embed_prob * self.size * 10 / (1 - DECAY) - 1e-3).unsqueeze(1)  # a_k, (V, 1)
        first = distance.argmin(dim=0)
        closest = closest[first, torch.arange(self.size, device=first.device)]
        self.embedding.weight.mul_(1 - moved).add_(moved * closest)
