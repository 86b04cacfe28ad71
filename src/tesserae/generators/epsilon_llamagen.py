"""Epsilon-LlamaGen, the generator of Semanticist (arXiv 2503.08685, Sec. 4 and official code): a language model of
continuous tokens, the first ones of an image, each drawn by a flow.

Blocks are LlamaGen's (nn/llama_blocks.py) with learned positions; the head is in velocity_head.py. Left out: sampling
(epsilon_llamagen_sampler.py), stochastic depth (unused). Parameter names are those of the official code.

Shapes: B samples, N tokens of C values of which the first n are learned, D width.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tesserae.generators.velocity_head import VelocityHead
from tesserae.nn.attention import KeyValueCache
from tesserae.nn.llama_blocks import NORM_EPS, LlamaBlock
from tesserae.nn.modulation import LabelEmbedder

STD = 0.02


class EpsilonLlamaGen(nn.Module):
    """The next token from the class and all tokens before it, up to the n-th: a decoder does without the others."""

    def __init__(
        self,
        *,
        token_length: int,  # N
        token_width: int,  # C
        first_tokens: int,  # n
        classes: int,
        width: int,
        blocks: int,
        heads: int,
        dropout: float,  # of attention and feed-forward outputs
        label_dropout: float,
        head: dict,
    ):
        super().__init__()
        if not 1 <= first_tokens <= token_length:
            raise ValueError(f"the first {first_tokens} of {token_length} tokens")
        self.token_length, self.token_width, self.first_tokens = token_length, token_width, first_tokens
        self.label_dropout = label_dropout
        self.cls_embedding = LabelEmbedder(classes, width)
        self.z_proj, self.z_proj_ln = nn.Linear(token_width, width), nn.RMSNorm(width, eps=NORM_EPS)
        self.pos_embed_learned = nn.Parameter(torch.empty(1, 1 + first_tokens, width))
        self.layers = nn.ModuleList(LlamaBlock(width, heads, dropout) for _ in range(blocks))
        self.norm = nn.RMSNorm(width, eps=NORM_EPS)
        self.diffusion_pos_embed_learned = nn.Parameter(torch.empty(1, first_tokens, width))
        self.initialise()
        self.diffloss = VelocityHead(channels=token_width, condition_width=width, **head)  # initialises itself

    def initialise(self) -> None:
        """Matrices, embeddings and positions N(0, 0.02^2), biases zero (official code)."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=STD)
        nn.init.zeros_(self.z_proj.bias)
        for positions in (self.pos_embed_learned, self.diffusion_pos_embed_learned):
            nn.init.normal_(positions, std=STD)

    def forward(self, x: Tensor, caches: list[KeyValueCache] | None = None) -> Tensor:
        """Embedded inputs (B, m, D), class first, then tokens -> what the next ones are drawn from, (B, m, D).

        The inputs are the first ones, or follow those in the `caches`, one per block (see `empty_caches`).
        """
        start = caches[0].length if caches else 0
        places = slice(start, start + x.shape[1])
        x = self.z_proj_ln(x + self.pos_embed_learned[:, places])
        for i, layer in enumerate(self.layers):
            x = layer(x, None, caches[i] if caches else None)
        return self.norm(x) + self.diffusion_pos_embed_learned[:, places]

    def empty_caches(self, rows: int) -> list[KeyValueCache]:
        """For `rows` sequences of n inputs that `forward` sees piece by piece."""
        heads, weight = self.layers[0].attention.heads, self.z_proj.weight
        shape = (rows, heads, self.first_tokens, len(weight) // heads)
        return [KeyValueCache(weight.new_empty(shape), weight.new_empty(shape)) for _ in self.layers]

    def conditions(self, tokens: Tensor, labels: Tensor) -> Tensor:
        """Tokens (B, n, C) and labels (B,), `classes` for none -> what each is drawn from, (B, n, D)."""
        # The official code also runs the last token through the network, and does not use what comes out.
        return self(torch.cat([self.cls_embedding(labels)[:, None], self.z_proj(tokens[:, :-1])], dim=1))

    def losses(self, batch: dict[str, Tensor], step: int, rng: torch.Generator) -> Iterator[tuple[str, dict]]:
        """One ("generator", terms) pair for tokens (B, N, C), standardised, and labels (B,)."""
        tokens = batch["tokens"][:, : self.first_tokens]
        labels = self.cls_embedding.drop(batch["labels"], self.label_dropout, rng)
        z = self.conditions(tokens, labels)
        yield "generator", {"velocity": self.diffloss(z.flatten(0, 1), tokens.flatten(0, 1), rng)}

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """One optimiser steps everything."""
        return {"generator": list(self.named_parameters())}

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Vectors are not decayed; embeddings and positions are (official code)."""
        return parameter.ndim < 2


def build(spec: dict) -> EpsilonLlamaGen:
    """The model of a recipe's resolved `model` settings (the constructor's keywords)."""
    return EpsilonLlamaGen(**spec)
