"""LlamaGen (arXiv 2406.06525): a language model of image codes, class-conditional.

Sources: Sec. 3.2 and App. A of the paper, its official code; learned positions, which take any number of codes, are
those of GigaTok's code (arXiv 2504.08736), which ConceptTok's generators follow. Each input predicts the next code; the
first input is the class. Pre-norm blocks with RMSNorm and SwiGLU, no biases. Left out: sampling (llamagen_sampler.py),
text conditions, fewer key than query heads, stochastic depth (unused). Parameter names are those of the official code.

Shapes: B samples, N codes, n inputs at once, V vocabulary, D width, H heads, d = D / H, F hidden width.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.nn.attention import KeyValueCache
from tesserae.nn.diffusion_transformer import grid_side
from tesserae.nn.llama_blocks import NORM_EPS, LlamaBlock
from tesserae.nn.modulation import LabelEmbedder
from tesserae.nn.rope import axial_rope_table


def prefixed_rope_table(head_dim: int, tokens: int) -> Tensor:
    """Rotary table of the class, then of a square grid of codes: (1 + N, 2d). ValueError if there is no such grid."""
    # DECISION: the paper does not say where the class stands; in the official code its query and key are zero (no angle
    # does that), so all codes see it with the same weight exp(0). Official weights need it.
    return torch.cat([torch.zeros(1, 2 * head_dim), axial_rope_table(head_dim, grid_side(tokens))])


class LlamaGen(nn.Module):
    """The next code from the class and all codes before it."""

    def __init__(
        self,
        *,
        token_length: int,
        vocabulary: int,
        classes: int,
        width: int,
        blocks: int,
        heads: int,
        positions: str,  # "learned": GigaTok, any N; "rope2d": LlamaGen, a square grid
        dropout: float,  # of inputs, attention and feed-forward outputs
        label_dropout: float,
    ):
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not divisible by {heads} heads")
        if positions not in ("learned", "rope2d"):
            raise ValueError(f"unknown positions {positions!r}; known: learned, rope2d")
        self.token_length, self.label_dropout = token_length, label_dropout
        self.cls_embedding = LabelEmbedder(classes, width)
        self.tok_embeddings = nn.Embedding(vocabulary, width)
        self.tok_dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(LlamaBlock(width, heads, dropout) for _ in range(blocks))
        self.norm = nn.RMSNorm(width, eps=NORM_EPS)
        self.output = nn.Linear(width, vocabulary, bias=False)
        learned = positions == "learned"
        # Of the class and of each code; the last is never an input.
        self.positional_embedding = nn.Parameter(torch.empty(1 + token_length, width)) if learned else None
        rope = None if learned else prefixed_rope_table(width // heads, token_length)
        self.register_buffer("rope", rope, persistent=False)
        self.initialise()

    def initialise(self) -> None:
        """Matrices and embeddings N(0, 0.02^2), positions N(0, 1/D); the output starts at zero: all codes alike."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(self.output.weight)
        if self.positional_embedding is not None:
            nn.init.normal_(self.positional_embedding, std=self.positional_embedding.shape[1] ** -0.5)

    def forward(self, x: Tensor, caches: list[KeyValueCache] | None = None) -> Tensor:
        """Embedded inputs (B, n, D), of the class first, then of codes -> features that predict the next codes.

        The inputs are the first ones, or follow those in the `caches`, one per block (see `empty_caches`).
        """
        start = caches[0].length if caches else 0
        places = slice(start, start + x.shape[1])
        if self.positional_embedding is not None:
            x = x + self.positional_embedding[places]
        x = self.tok_dropout(x)
        rope = None if self.rope is None else self.rope[places]
        for i, layer in enumerate(self.layers):
            x = layer(x, rope, caches[i] if caches else None)
        return self.norm(x)

    def empty_caches(self, rows: int) -> list[KeyValueCache]:
        """For `rows` sequences of N inputs that `forward` sees piece by piece."""
        heads, weight = self.layers[0].attention.heads, self.output.weight
        shape = (rows, heads, self.token_length, weight.shape[1] // heads)
        return [KeyValueCache(weight.new_empty(shape), weight.new_empty(shape)) for _ in self.layers]

    def logits(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """Codes int64 (B, N) and labels (B,), `classes` for none -> what is predicted of each code, (B, N, V)."""
        x = torch.cat([self.cls_embedding(labels).unsqueeze(1), self.tok_embeddings(tokens[:, :-1])], dim=1)
        return self.output(self(x))

    def losses(self, batch: dict[str, Tensor], step: int, rng: torch.Generator) -> Iterator[tuple[str, dict]]:
        """One ("generator", terms) pair for codes int64 (B, N) and labels (B,): the mean cross-entropy in nats."""
        tokens = batch["tokens"]
        labels = self.cls_embedding.drop(batch["labels"], self.label_dropout, rng)
        logits = self.logits(tokens, labels).float()
        yield "generator", {"cross_entropy": F.cross_entropy(logits.flatten(0, 1), tokens.flatten())}

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """One optimiser steps everything."""
        return {"generator": list(self.named_parameters())}

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Gains are not decayed; embeddings and positions are (official code)."""
        return parameter.ndim < 2


def build(spec: dict) -> LlamaGen:
    """The model of a recipe's resolved `model` settings (the constructor's keywords)."""
    return LlamaGen(**spec)
