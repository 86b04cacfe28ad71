"""What SiT, DiT and LightningDiT share: a transformer from noisy tokens, a time and a class to values per token.

Source: DiT (arXiv 2212.09748), Sec. 3.2, on continuous tokens as in l-DeTok (arXiv 2507.15856, App. A). Norm, attention
and feed-forward layer are the caller's; so are rotary positions, the unit of time and the meaning of the outputs.
Parameter names and shapes are those of l-DeTok's code, so that its checkpoints load without renaming.

Shapes: B batch, N tokens, C token channels, D width, O output channels.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.nn.attention import Attention
from tesserae.nn.feedforward import MLP
from tesserae.nn.modulation import LabelEmbedder, ModulatedBlock, ModulatedLinear, TimestepEmbedder
from tesserae.nn.positions import sincos_2d

EMBEDDING_STD = 0.02  # DiT, official code: label table and time MLP; l-DeTok's code: positions of a sequence
MLP_RATIO = 4  # DiT, Sec. 3.2
NORM_EPS = 1e-6  # DiT, official code

Layer = Callable[[int], nn.Module]  # width D -> a layer (B, N, D) -> (B, N, D)


def plain_norm(width: int) -> nn.Module:
    """DiT's norm: nothing learned, for the modulation scales and shifts it."""
    return nn.LayerNorm(width, eps=NORM_EPS, elementwise_affine=False)


def plain_feedforward(width: int) -> nn.Module:
    """DiT's feed-forward layer."""
    # DECISION: exact GELU as in l-DeTok's code; the original DiT and SiT approximate it with tanh.
    return MLP(width, MLP_RATIO * width)


def grid_side(tokens: int) -> int:
    """Side of the square grid of `tokens`; ValueError if there is none."""
    side = math.isqrt(tokens)
    if side**2 != tokens:
        raise ValueError(f"layout 'grid' needs a square number of tokens, not {tokens}")
    return side


class GridEmbedder(nn.Module):
    """Tokens (B, N, C) -> (B, N, D). A 1x1 convolution of the latent map, applied to tokens as the linear map it is."""

    def __init__(self, token_width: int, width: int):
        super().__init__()
        self.proj = nn.Conv2d(token_width, width, kernel_size=1)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.linear(tokens, self.proj.weight.flatten(1), self.proj.bias)


class DiffusionTransformer(nn.Module):
    """Noisy tokens (B, N, C) -> (B, N, O), by blocks that time and class modulate; zero when it starts.

    Raises ValueError for an unknown layout and for a "grid" whose tokens do not form a square.
    """

    def __init__(
        self,
        *,
        token_length: int,  # N
        token_width: int,  # C
        layout: str,  # "grid": rows of a square, sine-cosine positions; "sequence": learned positions
        classes: int,
        width: int,  # D
        blocks: int,
        heads: int,
        label_dropout: float,  # probability that a training label becomes the null class
        outputs: int,  # O
        norm: Layer = plain_norm,
        attention: Callable[[int, int], nn.Module] = Attention,  # of width and heads
        feedforward: Layer = plain_feedforward,
        train_grid: bool = False,  # the sine-cosine positions of a grid are where training starts, not fixed
    ):
        super().__init__()
        self.token_shape = (token_length, token_width)
        self.label_dropout = label_dropout
        match layout:
            case "grid":
                self.x_embedder = GridEmbedder(token_width, width)
                side = grid_side(token_length)
                table = sincos_2d(width, side, side)[None]
                if train_grid:
                    self.pos_embed = nn.Parameter(table)
                else:
                    self.register_buffer("pos_embed", table)  # saved, never trained
            case "sequence":
                self.x_embedder = nn.Linear(token_width, width)
                self.pos_embed = nn.Parameter(EMBEDDING_STD * torch.randn(1, token_length, width))
            case _:
                raise ValueError(f"unknown layout {layout!r}; known: grid, sequence")
        self.t_embedder = TimestepEmbedder(width)
        self.y_embedder = LabelEmbedder(classes, width)
        make_norm = partial(norm, width)
        stack = nn.ModuleList(
            ModulatedBlock(width, norm=make_norm, attn=attention(width, heads), mlp=feedforward(width))
            for _ in range(blocks)
        )
        self.transformer = nn.ModuleDict({"blocks": stack})
        self.final_layer = ModulatedLinear(width, outputs, norm=make_norm)
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

    def forward(self, x: Tensor, t: Tensor, class_embedding: Tensor, *, rope: Tensor | None = None) -> Tensor:
        """Tokens x (B, N, C), times t (B,) or (1,) for all, embedded classes (B, D) -> (B, N, O)."""
        condition = self.t_embedder(t) + class_embedding  # (B, D)
        x = self.x_embedder(x) + self.pos_embed  # (B, N, D)
        for block in self.transformer["blocks"]:
            x = block(x, condition, rope=rope)
        return self.final_layer(x, condition)

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """The one group and its named parameters: all of them."""
        return {"generator": list(self.named_parameters())}

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Biases, gains and embeddings are not decayed (l-DeTok, official code)."""
        return parameter.ndim < 2 or "embed" in name
