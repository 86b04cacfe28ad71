"""The TopK sparse autoencoder that names the concepts of an image (ConceptTok, Sec. 3.2, Eq. 3 and 4, App. B.1).

TopK as in arXiv 2406.04093, trained as in PatchSAE (arXiv 2412.05276): geometric median as the decoder's bias, decoder
rows of unit length with projected gradients, ghost gradients for latents that have not fired for long. A token has K of
d_c latents, so only their rows of the decoder are read, and only they and their columns of the encoder get a gradient
from it; the pre-activations of all latents exist for `chunk` tokens at a time and are not kept for the backward pass.
All of it is exact: neither K nor the chunk changes a gradient beyond rounding.

Shapes: T tokens, B images of P tokens, d_h = width, d_c = dictionary, K = top_k.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

LARGEST_EXPONENT = 20.0  # of a ghost activation


class Codes(NamedTuple):
    """What tokens activate: everything else is 0."""

    indices: Tensor  # int64 (..., K)
    values: Tensor  # (..., K), at least 0


def geometric_median(
    points: Tensor, *, iterations: int = 100, smallest: float = 1e-6, tolerance: float = 1e-20
) -> Tensor:
    """Points (T, D) -> the point (D,) whose summed distance to them is smallest, by Weiszfeld's iterations.

    From the mean; distances below `smallest` count as that; ends when the sum improves by less than `tolerance` of
    itself (PatchSAE's settings).
    """
    median = points.mean(0)
    distances = (points - median).norm(dim=1)
    for _ in range(iterations):
        weights = 1 / distances.clamp(min=smallest)
        median = (weights / weights.sum()) @ points
        before, distances = distances.sum(), (points - median).norm(dim=1)
        if (before - distances.sum()).abs() <= tolerance * distances.sum():
            break
    return median


def add_rows(indices: Tensor, weights: Tensor, rows: Tensor, count: int) -> Tensor:
    """Sum of weights[t, k] * rows[t] at place indices[t, k]: (T, K), (T, K), (T, D) -> (count, D)."""
    with torch.enable_grad():  # the gradient of reading such a table is what is wanted: a kernel that sorts the indices
        table = rows.new_zeros(count, rows.shape[1], requires_grad=True)
        read = F.embedding_bag(indices, table, per_sample_weights=weights, mode="sum")
    return torch.autograd.grad(read, table, rows)[0]


class TopPreactivations(torch.autograd.Function):
    """The K largest of centred @ W_enc + bias for each token: (T, d_h), (d_h, d_c), (d_c,) -> values, indices (T, K).

    Chunks of tokens one after another; gradients for W_enc and the bias, by the selected entries alone.
    """

    @staticmethod
    def forward(
        context: Any, centred: Tensor, W_enc: Tensor, bias: Tensor, top_k: int, chunk: int
    ) -> tuple[Tensor, Tensor]:
        picked = [torch.topk(torch.addmm(bias, part, W_enc), top_k, sorted=False) for part in centred.split(chunk)]
        values, indices = (torch.cat(some) for some in zip(*picked, strict=True))
        context.save_for_backward(centred, indices)
        context.dictionary = len(bias)
        context.mark_non_differentiable(indices)
        return values.to(W_enc.dtype), indices  # from bfloat16 under autocast

    @staticmethod
    def backward(context: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        centred, indices = context.saved_tensors
        of_bias = gradient.new_zeros(context.dictionary).scatter_add_(0, indices.flatten(), gradient.flatten())
        of_weight = add_rows(indices, gradient.contiguous(), centred, context.dictionary).T
        return None, of_weight, of_bias, None, None


def ghost_errors(
    centred: Tensor, W_enc: Tensor, bias: Tensor, W_dec: Tensor, residual: Tensor, error: Tensor
) -> Tensor:
    """Summed error of what dead latents alone make of the residual (T, d_h), as large as `error` (T, d_h) in value.

    W_enc (d_h, n), bias (n,), W_dec (n, d_h) are those of the dead latents. Their exponentials are scaled to half the
    residual's length for each token (PatchSAE; Jermyn and Templeton 2024).
    """
    exponent = torch.addmm(bias, centred, W_enc).to(centred.dtype)
    # DECISION: a token whose largest exponent exceeds 20 is shifted down to it. The scale below undoes any common
    # factor, so this changes nothing but that no exponential overflows; PatchSAE has no guard.
    shift = (exponent.detach().amax(dim=1, keepdim=True) - LARGEST_EXPONENT).relu()
    ghost = (exponent - shift).exp() @ W_dec
    length = residual.norm(dim=1, keepdim=True)
    ghost = ghost * (length / (1e-6 + 2 * ghost.norm(dim=1, keepdim=True))).detach()
    errors = (ghost - residual).square() / length
    return ((error / (errors + 1e-6)).detach() * errors).sum()


class TopKSAE(nn.Module):
    """Tokens (T, d_h) -> K of d_c concepts each -> tokens. `normalise`: "none" is Eq. 4, "patchsae" as that trainer."""

    TRAINING_ONLY = ("since_fired",)

    def __init__(
        self,
        *,
        width: int,
        dictionary: int,
        top_k: int,
        tied_init: bool,
        ghost_gradients: bool,
        dead_window: int,
        normalise: str,
        chunk: int,
    ):
        super().__init__()
        if top_k > dictionary:
            raise ValueError(f"a token cannot activate {top_k} of {dictionary} concepts; lower top_k")
        if normalise not in ("none", "patchsae"):
            raise ValueError(f"normalise must be 'none' or 'patchsae', not {normalise!r}")
        self.top_k, self.dead_window, self.chunk = top_k, dead_window, chunk
        self.ghost_gradients, self.normalise = ghost_gradients, normalise
        self.W_enc = nn.Parameter(torch.empty(width, dictionary))
        self.b_enc = nn.Parameter(torch.zeros(dictionary))
        self.W_dec = nn.Parameter(torch.empty(dictionary, width))
        self.b_dec = nn.Parameter(torch.zeros(width))
        self.register_buffer("since_fired", torch.zeros(dictionary, dtype=torch.int64))  # steps
        self.initialise(tied_init)

    @torch.no_grad()
    def initialise(self, tied: bool) -> None:
        """Kaiming-uniform, decoder rows of length 1."""
        # DECISION (D10): PatchSAE's; `tied` starts with the encoder as the decoder's transpose (arXiv 2406.04093, A.1),
        # which leaves fewer dead latents in short runs.
        nn.init.kaiming_uniform_(self.W_enc)
        nn.init.kaiming_uniform_(self.W_dec)
        self.after_step()
        if tied:
            self.W_enc.copy_(self.W_dec.T)

    @torch.no_grad()
    def init_bias(self, features: Tensor) -> None:
        """Start the decoder's bias at the geometric median of tokens (T, d_h) (App. B.1)."""
        self.b_dec.copy_(geometric_median(features.to(self.b_dec.dtype)))

    # ---- codes --------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, features: Tensor) -> Codes:
        """Features (..., d_h) -> the K largest latents of each token, ReLU after the selection (Eq. 3); in no order."""
        tokens = features.flatten(0, -2).to(self.b_dec.dtype)
        values, indices = TopPreactivations.apply(tokens - self.b_dec, self.W_enc, self.b_enc, self.top_k, self.chunk)
        shape = (*features.shape[:-1], self.top_k)
        return Codes(indices.view(shape), values.relu().view(shape))

    def decode(self, codes: Codes) -> Tensor:
        """Codes of tokens, (T, K) each -> (T, d_h) (Eq. 3); reads the active rows alone."""
        return F.embedding_bag(codes.indices, self.W_dec, per_sample_weights=codes.values, mode="sum") + self.b_dec

    def mean_code(self, features: Tensor) -> Tensor:
        """Features (B, P, d_h) -> each latent's mean over an image's tokens (B, d_c)."""
        codes = self.encode(features)
        total = codes.values.new_zeros(len(features), len(self.b_enc))
        return total.scatter_add_(1, codes.indices.flatten(1), codes.values.flatten(1)) / features.shape[1]

    def concept_set(self, features: Tensor, count: int) -> Tensor:
        """Features (B, P, d_h) -> the `count` largest latents of each image's mean code, int64 (B, count).

        Strongest first, of equal ones the lower index; only positive ones, the rest is -1.
        """
        # DECISION (D26, D14): TopK for each token, then the mean, then the largest; an image may have fewer.
        values, indices = self.mean_code(features).sort(dim=1, descending=True, stable=True)
        return indices[:, :count].masked_fill(values[:, :count] <= 0, -1)

    # ---- training -----------------------------------------------------------------------------------------------

    def losses(
        self, batch: dict[str, Tensor], step: int, rng: torch.Generator
    ) -> Iterator[tuple[str, dict[str, Tensor], dict[str, Tensor]]]:
        """Yields one update: batch["features"] (B, P, d_h) -> loss terms, and numbers to watch."""
        tokens = batch["features"].flatten(0, -2).to(self.b_dec.dtype)
        centred = (tokens - self.b_dec).detach()
        # b_enc in value. It carries the gradient that b_dec gets through the encoder: b_dec is taken from all tokens
        # alike, so one product with the encoder does for all of them.
        bias = self.b_enc + (self.b_dec.detach() - self.b_dec) @ self.W_enc.detach()
        values, indices = TopPreactivations.apply(centred, self.W_enc, bias, self.top_k, self.chunk)
        codes = Codes(indices, values.relu())
        residual = tokens - self.decode(codes)
        error = residual.square()  # (T, d_h)
        # DECISION (D15): Eq. 4 literally, the mean over tokens of a sum over channels.
        scale = 1 / len(tokens)
        if self.normalise == "patchsae":
            error, scale = error / tokens.norm(dim=1, keepdim=True), 1 / tokens.numel()
        terms = {"reconstruction": scale * error.sum()}
        dead = self.since_fired > self.dead_window
        if self.ghost_gradients:
            terms["ghost"] = scale * self._ghost(centred, bias, residual.detach(), error.detach(), dead)
        active = (codes.values > 0).detach()
        counts = values.new_zeros(len(dead)).scatter_add_(0, indices.flatten(), active.flatten().to(values.dtype))
        self._fired = counts > 0
        yield "sae", terms, self._watched(tokens, residual.detach(), active, dead)

    def _ghost(self, centred: Tensor, bias: Tensor, residual: Tensor, error: Tensor, dead: Tensor) -> Tensor:
        """Ghost errors summed over all tokens; 0 if no latent is dead."""
        chosen = dead.nonzero()[:, 0]
        if not len(chosen):
            return centred.new_zeros(())
        weights = self.W_enc[:, chosen], bias[chosen], self.W_dec[chosen]
        parts = [x.split(self.chunk) for x in (centred, residual, error)]
        if len(parts[0]) == 1:
            return ghost_errors(centred, *weights, residual, error)
        return sum(  # activations are made again for the backward pass: those of one chunk exist at a time
            checkpoint(ghost_errors, x, *weights, r, e, use_reentrant=False, preserve_rng_state=False)
            for x, r, e in zip(*parts, strict=True)
        )

    @staticmethod
    @torch.no_grad()
    def _watched(tokens: Tensor, residual: Tensor, active: Tensor, dead: Tensor) -> dict[str, Tensor]:
        """Numbers of metrics/sparse.py on this micro-batch; `dead`: fraction of latents long without firing."""
        errors, energies = residual.square().sum(1), tokens.square().sum(1)
        return {
            "nmse": (errors / energies).mean(),
            "explained_variance": 1 - errors.sum() / energies.sum(),
            "explained_variance_centred": 1 - errors.sum() / (tokens - tokens.mean(0)).square().sum(),
            "l0": active.sum(1, dtype=tokens.dtype).mean(),
            "dead": dead.to(tokens.dtype).mean(),
        }

    def collected(self, group: str) -> dict[str, Tensor]:
        """Which latents fired on a token of the last micro-batch: bool (d_c,)."""
        return {"fired": self._fired}

    @torch.no_grad()
    def after_backward(self, group: str, collected: dict[str, Tensor]) -> None:
        """Count steps since each latent fired in any micro-batch; project W_dec's gradient off each row."""
        self.since_fired.add_(1).masked_fill_(collected["fired"].any(0), 0)
        along = (self.W_dec.grad * self.W_dec).sum(dim=1, keepdim=True)
        self.W_dec.grad.addcmul_(along, self.W_dec, value=-1)

    @torch.no_grad()
    def after_step(self, group: str = "sae") -> None:
        """Rows of the decoder get length 1 again."""
        self.W_dec.div_(self.W_dec.norm(dim=1, keepdim=True))

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        return {"sae": list(self.named_parameters())}

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Adam without decay (PatchSAE)."""
        return True


def build(spec: dict[str, Any]) -> TopKSAE:
    """An autoencoder from a recipe's `model` settings."""
    return TopKSAE(**spec)
