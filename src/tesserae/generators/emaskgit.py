"""MaskGIT on continuous tokens: a bidirectional transformer sees the known ones, and a diffusion head draws the masked.

Sources: CompTok (arXiv 2602.03339), Sec. 3.5 and App. A: the backbone of MaskGIT (arXiv 2202.04200) with the diffusion
loss of MAR (arXiv 2406.11838) and a class token; what it does not say is theirs. Left out: sampling
(emaskgit_sampler.py). There is no official code; names are MAR's.

Shapes: B samples, N tokens of C values, M masked tokens of all samples, D width.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tesserae.generators.diffloss import DiffLoss
from tesserae.nn.attention import Attention
from tesserae.nn.feedforward import MLP
from tesserae.nn.masking import draw_masked
from tesserae.nn.positions import placed

NORM_EPS = 1e-6
STD = 0.02  # of learned vectors
MLP_RATIO = 4
UNDECAYED = ("embed", "emb.", "token", "diffloss")  # as MAR's code, beside vectors


class Block(nn.Module):
    """Pre-norm transformer block with dropout after attention and feed-forward layer. (B, L, D) -> (B, L, D)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=NORM_EPS), nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, heads, projection_dropout=dropout)
        self.mlp, self.drop = MLP(width, MLP_RATIO * width), nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.drop(self.mlp(self.norm2(x)))


class EMaskGIT(nn.Module):
    """What masked tokens are, from the known ones and the class."""

    # What forecasts take for the fraction of tokens that a step masks: the mean of arccos(u) / (pi / 2).
    sought = 2 / math.pi

    # DECISION (D12): as deep and as wide as Semanticist's generator, with its head; the paper names no size.

    def __init__(
        self,
        *,
        token_length: int,
        token_width: int,
        classes: int,
        width: int,
        blocks: int,
        heads: int,
        dropout: float,
        label_dropout: float,
        diffloss: dict,
    ):
        super().__init__()
        self.token_length, self.token_width = token_length, token_width
        self.null, self.label_dropout = classes, label_dropout
        self.class_emb = nn.Embedding(classes + 1, width)  # the last one stands for "no class"
        self.z_proj, self.mask_token = nn.Linear(token_width, width), nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed_learned = nn.Parameter(torch.empty(1, 1 + token_length, width))
        self.z_proj_ln = nn.LayerNorm(width, eps=NORM_EPS)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.diffusion_pos_embed_learned = nn.Parameter(torch.empty(1, token_length, width))
        self.initialise()
        self.diffloss = DiffLoss(channels=token_width, condition_width=width, **diffloss)  # initialises itself

    def initialise(self) -> None:
        """As MAR: learned vectors N(0, 0.02^2); Linear Xavier-uniform with zero bias."""
        for parameter in (*self.parameters(recurse=False), self.class_emb.weight):
            nn.init.normal_(parameter, std=STD)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    @torch.no_grad()
    def place_tokens(self) -> None:
        """Start the tokens' learned positions as those of a grid. Not in the papers."""
        table = placed(self.pos_embed_learned.shape[-1], self.token_length)
        self.pos_embed_learned[0, 1:] = self.diffusion_pos_embed_learned[0] = table

    def conditions(self, tokens: Tensor, masked: Tensor, labels: Tensor) -> Tensor:
        """Tokens (B, N, C), those `masked`, bool (B, N), and labels (B,) -> what each is drawn from, (B, N, D).

        What stands in masked places is not read.
        """
        seen = torch.where(masked[..., None], self.mask_token, self.z_proj(tokens))
        x = torch.cat([self.class_emb(labels)[:, None], seen], dim=1) + self.pos_embed_learned
        x = self.z_proj_ln(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 1:] + self.diffusion_pos_embed_learned

    def losses(self, batch: dict[str, Tensor], step: int, rng: torch.Generator) -> Iterator[tuple[str, dict]]:
        """One ("generator", terms) pair for tokens (B, N, C), standardised, and labels (B,): means over masked ones."""
        tokens, labels = batch["tokens"], batch["labels"]
        B, N = tokens.shape[:2]
        dropped = torch.rand(B, generator=rng, device=rng.device).to(labels.device) < self.label_dropout
        # DECISION (D24): MaskGIT's law in the code of TiTok; the paper says "a random mask".
        masked = draw_masked(torch.full((B,), N, device=tokens.device), N, rng)
        z = self.conditions(tokens, masked, labels.masked_fill(dropped, self.null))
        chosen = masked.flatten().nonzero()[:, 0]
        terms = self.diffloss(z.flatten(0, 1)[chosen], tokens.flatten(0, 1)[chosen], rng)
        yield "generator", {"diffloss_mse": terms.mse, "diffloss_vb": terms.vb}

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """One optimiser steps everything."""
        return {"generator": list(self.named_parameters())}

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Vectors, embeddings, single tokens and the head (MAR, official code)."""
        return parameter.ndim < 2 or any(word in name for word in UNDECAYED)


def build(spec: dict) -> EMaskGIT:
    """The model of a recipe's resolved `model` settings (the constructor's keywords)."""
    return EMaskGIT(**spec)
