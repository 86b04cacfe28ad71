"""Causal autoregressive generation of continuous tokens with a diffusion loss: what RandomAR and RasterAR share.

Sources: l-DeTok (arXiv 2507.15856), Sec. 4 and App. A.2; the decoder and its two positions per token follow RAR
(arXiv 2411.00776), Sec. 3, without its annealing of the order; the diffusion loss is MAR's (arXiv 2406.11838).
Left out: sampling (causal_ar_sampler.py), patches of more than one token. Parameter names are those of l-DeTok's code.

Shapes: B samples, N tokens, n tokens at once, C channels, D width.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.generators.diffloss import DiffLoss
from tesserae.nn.attention import Attention, KeyValueCache
from tesserae.nn.feedforward import MLP
from tesserae.nn.modulation import ModulatedBlock, adaptive_parameters
from tesserae.nn.positions import placed

MLP_RATIO = 4  # DiT, Sec. 3.2
NORM_EPS = 1e-6  # l-DeTok, official code


class ModulatedNorm(nn.Module):
    """LayerNorm without weights of its own, shifted and scaled by a condition (B, D). (B, n, D) -> (B, n, D)."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=NORM_EPS)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = adaptive_parameters(self.adaLN_modulation, condition, 2)
        return torch.addcmul(shift, self.norm(x), 1 + scale)


class CausalAR(nn.Module):
    """Each token from its predecessors in an order: input i is token i - 1 (a learned vector for the first).

    An input is told where it stands and where the token that it must predict stands; so any order will do.
    """

    def __init__(
        self,
        *,
        token_length: int,
        token_width: int,
        classes: int,
        width: int,
        blocks: int,
        heads: int,
        label_dropout: float,
        diffloss: dict,
    ):
        super().__init__()
        self.token_length, self.token_width, self.label_dropout = token_length, token_width, label_dropout
        self.class_emb = nn.Embedding(classes, width)
        self.fake_latent = nn.Parameter(torch.empty(1, width))  # stands for "no class"
        self.bos_token = nn.Parameter(torch.empty(1, 1, width))
        self.x_embedder = nn.Linear(token_width, width)
        self.pos_embed = nn.Parameter(torch.empty(1, token_length + 1, width))  # of the first input, then of each token
        self.target_pos_embed = nn.Parameter(torch.empty(1, token_length, width))
        self.timesteps_embeddings = nn.Parameter(torch.empty(1, token_length + 1, width))  # the last is never used
        self.ln_pre = nn.LayerNorm(width, eps=NORM_EPS)
        norm = partial(nn.LayerNorm, width, eps=NORM_EPS)
        stack = nn.ModuleList(
            ModulatedBlock(width, norm=norm, attn=Attention(width, heads), mlp=MLP(width, MLP_RATIO * width))
            for _ in range(blocks)
        )
        self.transformer = nn.ModuleDict({"blocks": stack})
        self.final_layer = ModulatedNorm(width)
        self.initialise()
        self.diffloss = DiffLoss(channels=token_width, condition_width=width, **diffloss)  # initialises itself

    def initialise(self) -> None:
        """Learned vectors N(0, 0.02^2); Linear Xavier-uniform with zero bias; modulations zero (adaLN-Zero)."""
        for parameter in (*self.parameters(recurse=False), self.class_emb.weight):
            nn.init.normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in (*self.transformer["blocks"], self.final_layer):
            nn.init.zeros_(layer.adaLN_modulation[1].weight)

    @torch.no_grad()
    def place_tokens(self) -> None:
        """Start learned positions as those of a grid; the first input, which is no token, keeps its own."""
        self.pos_embed[0, 1:] = self.target_pos_embed[0] = placed(self.pos_embed.shape[-1], self.token_length)

    def orders(self, count: int, rng: torch.Generator) -> Tensor:
        """`count` orders, int64 (count, N), on the device of `rng`: entry i is the place of the i-th token."""
        raise NotImplementedError("RandomAR and RasterAR say in which order tokens come")

    def positions(self, order: Tensor) -> Tensor:
        """Order (B, N) -> (B, N, D): for each input, where it stands plus where the token it predicts stands."""
        own = F.pad(order[:, :-1] + 1, (1, 0))  # 0 is the first input's, which is not a token
        return F.embedding(own, self.pos_embed[0]) + F.embedding(order, self.target_pos_embed[0])

    def forward(
        self, x: Tensor, positions: Tensor, classes: Tensor, caches: list[KeyValueCache] | None = None
    ) -> Tensor:
        """Inputs (B, n, D), their positions (B, n, D) and class vectors (B, D) -> conditions of tokens (B, n, D).

        The inputs are the first ones, or follow those in the `caches`, one per block (see `empty_caches`).
        """
        start = caches[0].length if caches else 0
        x = self.ln_pre(x + positions)
        condition = classes.unsqueeze(1) + self.timesteps_embeddings[:, start : start + x.shape[1]]
        for i, block in enumerate(self.transformer["blocks"]):
            x = block(x, condition, causal=True, cache=caches[i] if caches else None)
        return self.final_layer(x, classes)

    def empty_caches(self, batch: int) -> list[KeyValueCache]:
        """For `batch` sequences that `forward` sees piece by piece."""
        return [block.attn.empty_cache(batch, self.token_length) for block in self.transformer["blocks"]]

    def class_vectors(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        """Labels (B,) -> (B, D); in training some samples get the fake latent, so that guidance has its other half."""
        vectors = self.class_emb(labels)
        if self.training:
            dropped = torch.rand(len(labels), 1, generator=rng, device=rng.device) < self.label_dropout
            vectors = torch.where(dropped.to(labels.device), self.fake_latent, vectors)
        return vectors

    def conditions(self, tokens: Tensor, order: Tensor, classes: Tensor) -> Tensor:
        """Tokens (B, N, C) in their order (B, N), class vectors (B, D) -> what each is predicted from, (B, N, D)."""
        first = self.bos_token.expand(len(tokens), -1, -1)
        return self(torch.cat([first, self.x_embedder(tokens[:, :-1])], dim=1), self.positions(order), classes)

    def losses(self, batch: dict[str, Tensor], step: int, rng: torch.Generator) -> Iterator[tuple[str, dict]]:
        """One ("generator", terms) pair for tokens (B, N, C), standardised, and labels (B,)."""
        order = self.orders(len(batch["tokens"]), rng).to(batch["tokens"].device)
        tokens = batch["tokens"].take_along_dim(order.unsqueeze(-1), dim=1)
        z = self.conditions(tokens, order, self.class_vectors(batch["labels"], rng))
        terms = self.diffloss(z.flatten(0, 1), tokens.flatten(0, 1), rng)
        yield "generator", {"diffloss_mse": terms.mse, "diffloss_vb": terms.vb}

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """One optimiser steps everything."""
        return {"generator": list(self.named_parameters())}

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """True for what the official optimiser excludes from weight decay."""
        return parameter.ndim < 2 or any(word in name for word in ("embed", "token", "diffloss"))
