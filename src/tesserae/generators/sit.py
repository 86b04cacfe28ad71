"""SiT, the scalable interpolant transformer (arXiv 2401.08740), as l-DeTok (arXiv 2507.15856, App. A) trains it.

A DiT backbone on a square grid of continuous tokens that predicts the velocity of the linear path. Covered: model,
initialisation, training loss. Sampling is in `sit_sampler`. Left out: learned sigma, qk-norm, sequences without a grid.
Parameter names and shapes are those of l-DeTok's code, so that its checkpoints load without renaming.

Shapes: B batch, N tokens (row-major grid), C token channels, D width. Times are in [0, 1]: 0 noise, 1 data.
"""

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.diffusion import flow
from tesserae.nn.attention import Attention
from tesserae.nn.feedforward import MLP
from tesserae.nn.modulation import LabelEmbedder, ModulatedBlock, ModulatedLinear, TimestepEmbedder
from tesserae.nn.positions import sincos_2d

EMBEDDING_STD = 0.02  # DiT, official code: label table and time MLP
MLP_RATIO = 4  # DiT, Sec. 3.2
NORM_EPS = 1e-6  # DiT, official code


class GridEmbedder(nn.Module):
    """Tokens (B, N, C) -> (B, N, D). A 1x1 convolution of the latent map, applied to tokens as the linear map it is."""

    def __init__(self, token_width: int, width: int):
        super().__init__()
        self.proj = nn.Conv2d(token_width, width, kernel_size=1)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.linear(tokens, self.proj.weight.flatten(1), self.proj.bias)


class SiT(nn.Module):
    """Velocity of the flow from noise to the tokens of a class. Raises ValueError if N is not a square."""

    def __init__(
        self,
        *,
        token_length: int,  # N
        token_width: int,  # C
        classes: int,
        width: int,  # D
        blocks: int,
        heads: int,
        label_dropout: float,  # probability that a training label becomes the null class
    ):
        super().__init__()
        side = math.isqrt(token_length)
        if side**2 != token_length:
            raise ValueError(f"SiT needs a square grid of tokens, not {token_length}")
        self.token_shape = (token_length, token_width)
        self.label_dropout = label_dropout
        self.x_embedder = GridEmbedder(token_width, width)
        self.register_buffer("pos_embed", sincos_2d(width, side, side)[None])  # saved, never trained
        self.t_embedder = TimestepEmbedder(width)
        self.y_embedder = LabelEmbedder(classes, width)
        norm = partial(nn.LayerNorm, width, eps=NORM_EPS, elementwise_affine=False)
        stack = nn.ModuleList(
            # DECISION: exact GELU as in l-DeTok's code; the original SiT approximates it with tanh.
            ModulatedBlock(width, norm=norm, attn=Attention(width, heads), mlp=MLP(width, MLP_RATIO * width))
            for _ in range(blocks)
        )
        self.transformer = nn.ModuleDict({"blocks": stack})
        self.final_layer = ModulatedLinear(width, token_width, norm=norm)
        self.initialise()

    def initialise(self) -> None:
        """DiT, official code: Xavier-uniform linear maps, small embeddings, and a network that starts as zero."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):  # a 1x1 convolution has the fans of its linear map
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for weight in (
            self.y_embedder.embedding_table.weight,
            self.t_embedder.mlp[0].weight,
            self.t_embedder.mlp[2].weight,
        ):
            nn.init.normal_(weight, std=EMBEDDING_STD)
        for layer in (*self.transformer["blocks"], self.final_layer):
            nn.init.zeros_(layer.adaLN_modulation[1].weight)
        nn.init.zeros_(self.final_layer.linear.weight)

    def forward(self, x: Tensor, t: Tensor, class_embedding: Tensor) -> Tensor:
        """States x (B, N, C), times t (B,) or (1,) for all, embedded classes (B, D) -> velocities (B, N, C)."""
        condition = self.t_embedder(t) + class_embedding  # (B, D)
        x = self.x_embedder(x) + self.pos_embed  # (B, N, D)
        for block in self.transformer["blocks"]:
            x = block(x, condition)
        return self.final_layer(x, condition)

    def velocity(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """As forward, with int64 labels (B,); the null class is `classes`."""
        return self(x, t, self.y_embedder(labels))

    def losses(
        self, batch: dict[str, Tensor], step: int, rng: torch.Generator
    ) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """One group, "generator", with the flow matching loss; batch: tokens (B, N, C), standardised, labels (B,)."""
        tokens = batch["tokens"]
        labels = self.y_embedder.drop(batch["labels"], self.label_dropout, rng)
        t = flow.draw_uniform_times(tokens, rng)
        noise = flow.draw_noise(tokens, rng)
        yield "generator", {"velocity_mse": flow.velocity_mse(partial(self.velocity, labels=labels), tokens, noise, t)}

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """The one group and its named parameters: all of them."""
        return {"generator": list(self.named_parameters())}

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Biases and embeddings are not decayed (l-DeTok, official code)."""
        return parameter.ndim < 2 or "embed" in name


def build(spec: dict) -> SiT:
    """The model of a recipe's resolved "model" settings, which are the constructor's keywords."""
    return SiT(**spec)
