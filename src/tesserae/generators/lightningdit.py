"""LightningDiT (arXiv 2501.01423), as l-DeTok (arXiv 2507.15856, App. A) trains it.

`nn.diffusion_transformer` with RMSNorm, SwiGLU and rotary positions, which predicts the velocity of the linear path.
Here: these layers and the training loss. Sampling is in `lightningdit_sampler`.

Shapes: B batch, N tokens, C token channels, D width, H heads, d = D / H. Times are in [0, 1]: 0 noise, 1 data.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.diffusion import flow
from tesserae.nn.attention import Attention
from tesserae.nn.diffusion_transformer import MLP_RATIO, DiffusionTransformer, grid_side
from tesserae.nn.feedforward import SwiGLU
from tesserae.nn.rope import AxialRope, apply_rope


class NormedAttention(Attention):
    """Attention whose queries and keys are normed per head, before they are turned (the paper's "QK Norm")."""

    def __init__(self, width: int, heads: int):
        super().__init__(width, heads)
        self.q_norm, self.k_norm = nn.RMSNorm(width // heads), nn.RMSNorm(width // heads)

    def forward(self, x: Tensor, *, rope: Tensor | None = None) -> Tensor:
        """x (B, N, D) -> (B, N, D)."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, H, N, d)
        q, k = self.q_norm(q), self.k_norm(k)
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


def swiglu(width: int) -> SwiGLU:
    """As many parameters as DiT's MLP, but for rounding."""
    return SwiGLU(width, int(2 / 3 * width * MLP_RATIO))


class LightningDiT(DiffusionTransformer):
    """Velocity of the flow from noise to the tokens of a class: forward gives (B, N, C)."""

    def __init__(
        self,
        *,
        token_length: int,
        token_width: int,
        layout: str,
        width: int,
        heads: int,
        qk_norm: bool,
        cosine_loss_weight: float,  # 0: l-DeTok's code; 1: the original
        **network,  # the other keywords of DiffusionTransformer up to label_dropout
    ):
        # DECISION: RMSNorm with PyTorch's default eps (the original: 1e-6), and positions of a grid that are trained
        # (the original: fixed), as in l-DeTok's code, whose comments say otherwise.
        super().__init__(
            token_length=token_length,
            token_width=token_width,
            layout=layout,
            width=width,
            heads=heads,
            outputs=token_width,
            norm=nn.RMSNorm,
            attention=NormedAttention if qk_norm else Attention,
            feedforward=swiglu,
            train_grid=True,
            **network,
        )
        self.rope = AxialRope(width // heads, grid_side(token_length)) if layout == "grid" else None
        self.cosine_loss_weight = cosine_loss_weight

    def forward(self, x: Tensor, t: Tensor, class_embedding: Tensor) -> Tensor:
        """States x (B, N, C), times t (B,) or (1,) for all, embedded classes (B, D) -> velocities (B, N, C)."""
        rope = None if self.rope is None else self.rope.table()
        return super().forward(x, t, class_embedding, rope=rope)

    def velocity(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """As forward, with int64 labels (B,); the null class is `classes`."""
        return self(x, t, self.y_embedder(labels))

    def losses_at(self, tokens: Tensor, labels: Tensor, t: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Terms, 0-d, for tokens and noise (B, N, C), labels and times (B,)."""
        predicted = self.velocity(flow.path(tokens, noise, t), t, labels).float()
        target = flow.path_velocity(tokens, noise).float()
        terms = {"velocity_mse": F.mse_loss(predicted, target)}
        # DECISION: l-DeTok's code computes the direction loss of the original and never adds it; so does weight 0.
        if self.cosine_loss_weight:
            terms["velocity_cosine"] = self.cosine_loss_weight * flow.cosine_distance(predicted, target)
        return terms

    def losses(
        self, batch: dict[str, Tensor], step: int, rng: torch.Generator
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """One group, "generator"; batch: tokens (B, N, C), standardised, labels (B,)."""
        tokens = batch["tokens"]
        labels = self.y_embedder.drop(batch["labels"], self.label_dropout, rng)
        t = flow.draw_logit_normal_times(tokens, rng)
        yield "generator", self.losses_at(tokens, labels, t, flow.draw_noise(tokens, rng))


def build(spec: dict) -> LightningDiT:
    """The model of a recipe's resolved "model" settings, which are the constructor's keywords."""
    return LightningDiT(**spec)
