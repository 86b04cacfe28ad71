"""MAR: masked autoregressive generation of continuous tokens with a diffusion loss. Model and training loss.

Sources: MAR (arXiv 2406.11838), Sec. 3-4 and App. B; trained on l-DeTok's latents (arXiv 2507.15856), App. A.2.
Left out: sampling (mar_sampler.py), key-value caching, patches of more than one token.
Parameter names are those of the published weights.

Shapes: B samples, N tokens, M masked, K = N - M known, R buffer slots, C channels, D width.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.generators.diffloss import DiffLoss
from tesserae.nn.attention import Attention
from tesserae.nn.feedforward import MLP
from tesserae.nn.positions import placed

# The official optimiser decays no parameter with fewer than two axes, nor one whose name contains any of these.
UNDECAYED = ("ln", "bias", "embedding", "norm", "gamma", "embed", "token", "diffloss")


def draw_mask_ratio(rng: torch.Generator, minimum: float, std: float) -> float:
    """A normal(1, std) truncated to [minimum, 1], by inversion (MAR, App. B)."""
    low = torch.special.ndtr(torch.tensor((minimum - 1) / std, dtype=torch.float64))
    u = torch.rand((), dtype=torch.float64, generator=rng, device=rng.device).cpu()
    ratio = 1 + std * torch.special.ndtri(low + u * (0.5 - low))
    return ratio.clamp(minimum, 1).item()


def masked_count(tokens: int, ratio: float) -> int:
    """How many of `tokens` are masked at a ratio in (0, 1]: at least one."""
    return math.ceil(tokens * ratio)


def pick(x: Tensor, positions: Tensor) -> Tensor:
    """Rows of x (B, N, C) at positions (B, K) -> (B, K, C)."""
    return x.gather(1, positions.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


class Block(nn.Module):
    """Pre-norm transformer block; dropout in the attention and after its projection, none in the MLP."""

    def __init__(self, width: int, heads: int, attention_dropout: float, projection_dropout: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, attention_dropout=attention_dropout, projection_dropout=projection_dropout)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = MLP(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class MAR(nn.Module):
    """Encoder over the known tokens, decoder over all, diffusion loss on the masked ones.

    The blocks see a set: positions are added to the vectors. So known and masked tokens are kept in the drawn order,
    masked first, and nothing is ever scattered back to the raster.
    """

    def __init__(
        self,
        *,
        token_length: int,
        token_width: int,
        classes: int,
        width: int,
        encoder_blocks: int,
        decoder_blocks: int,
        heads: int,
        buffer_size: int,
        attention_dropout: float,
        projection_dropout: float,
        label_dropout: float,
        mask_ratio_min: float,
        mask_ratio_std: float,
        diffloss: dict,
    ):
        super().__init__()
        self.token_length, self.token_width, self.buffer_size = token_length, token_width, buffer_size
        self.label_dropout = label_dropout
        self.mask_ratio_min, self.mask_ratio_std = mask_ratio_min, mask_ratio_std

        self.class_emb = nn.Embedding(classes, width)
        self.fake_latent = nn.Parameter(torch.empty(1, width))  # stands for "no class"

        self.z_proj = nn.Linear(token_width, width)
        self.z_proj_ln = nn.LayerNorm(width, eps=1e-6)
        self.encoder_pos_embed_learned = nn.Parameter(torch.empty(1, buffer_size + token_length, width))
        dropouts = attention_dropout, projection_dropout
        self.encoder_blocks = nn.ModuleList(Block(width, heads, *dropouts) for _ in range(encoder_blocks))
        self.encoder_norm = nn.LayerNorm(width, eps=1e-6)

        self.decoder_embed = nn.Linear(width, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.decoder_pos_embed_learned = nn.Parameter(torch.empty(1, buffer_size + token_length, width))
        self.decoder_blocks = nn.ModuleList(Block(width, heads, *dropouts) for _ in range(decoder_blocks))
        self.decoder_norm = nn.LayerNorm(width, eps=1e-6)
        self.diffusion_pos_embed_learned = nn.Parameter(torch.empty(1, token_length, width))
        self.initialise()

        self.diffloss = DiffLoss(channels=token_width, condition_width=width, **diffloss)  # initialises itself

    def initialise(self) -> None:
        """Learned vectors N(0, 0.02^2); Linear Xavier-uniform with zero bias."""
        for parameter in self.parameters(recurse=False):
            nn.init.normal_(parameter, std=0.02)
        nn.init.normal_(self.class_emb.weight, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    @torch.no_grad()
    def place_tokens(self) -> None:
        """Start the tokens' learned positions as those of a grid; buffer slots keep theirs. Not in the papers."""
        table = placed(self.encoder_pos_embed_learned.shape[-1], self.token_length)
        for positions in (self.encoder_pos_embed_learned, self.decoder_pos_embed_learned):
            positions[0, self.buffer_size :] = table
        self.diffusion_pos_embed_learned[0] = table

    def encode(self, tokens: Tensor, known: Tensor, classes: Tensor) -> Tensor:
        """Known tokens (B, K, C), their positions (B, K) and class vectors (B, D) -> (B, R + K, D).

        The R buffer slots all start as the class vector, told apart by their positions; they are never masked.
        """
        positions = self.encoder_pos_embed_learned[0]
        buffer = classes.unsqueeze(1) + positions[: self.buffer_size]
        x = self.z_proj(tokens) + F.embedding(known + self.buffer_size, positions)
        x = self.z_proj_ln(torch.cat([buffer, x], dim=1))
        for block in self.encoder_blocks:
            x = block(x)
        return self.encoder_norm(x)

    def decode(self, x: Tensor, known: Tensor, masked: Tensor) -> Tensor:
        """Encoder output (B, R + K, D), known (B, K) and masked (B, M) positions -> conditions (B, M, D)."""
        positions = self.decoder_pos_embed_learned[0]
        x = self.decoder_embed(x)
        buffer = x[:, : self.buffer_size] + positions[: self.buffer_size]
        seen = x[:, self.buffer_size :] + F.embedding(known + self.buffer_size, positions)
        unseen = self.mask_token + F.embedding(masked + self.buffer_size, positions)
        x = torch.cat([buffer, seen, unseen], dim=1)
        for block in self.decoder_blocks:
            x = block(x)
        z = self.decoder_norm(x[:, self.buffer_size + known.shape[1] :])
        return z + F.embedding(masked, self.diffusion_pos_embed_learned[0])

    def class_vectors(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        """Labels (B,) -> (B, D); in training some samples get the fake latent, so that guidance has its other half."""
        vectors = self.class_emb(labels)
        if self.training:
            dropped = torch.rand(len(labels), 1, generator=rng, device=rng.device) < self.label_dropout
            vectors = torch.where(dropped.to(labels.device), self.fake_latent, vectors)
        return vectors

    def losses(self, batch: dict[str, Tensor], step: int, rng: torch.Generator) -> Iterator[tuple[str, dict]]:
        """One ("generator", terms) pair for tokens (B, N, C), standardised, and labels (B,)."""
        tokens, labels = batch["tokens"], batch["labels"]
        B, N, C = tokens.shape
        count = masked_count(N, draw_mask_ratio(rng, self.mask_ratio_min, self.mask_ratio_std))  # one for the batch
        order = torch.rand(B, N, generator=rng, device=rng.device).argsort(dim=1).to(tokens.device)
        masked, known = order[:, :count], order[:, count:]
        x = self.encode(pick(tokens, known), known, self.class_vectors(labels, rng))
        z = self.decode(x, known, masked)
        # Every sample has the same number of masked tokens, so the mean over the gathered ones is the official masked
        # mean over all positions, without computing the rest.
        terms = self.diffloss(z.reshape(B * count, -1), pick(tokens, masked).reshape(B * count, C), rng)
        yield "generator", {"diffloss_mse": terms.mse, "diffloss_vb": terms.vb}

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """One optimiser steps everything."""
        return {"generator": list(self.named_parameters())}

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """True for what the official optimiser excludes from weight decay."""
        return parameter.ndim < 2 or any(word in name for word in UNDECAYED)


def build(spec: dict) -> MAR:
    """The model of a recipe's resolved `model` settings (the constructor's keywords)."""
    return MAR(**spec)
