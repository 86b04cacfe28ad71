"""COMiT's probe (arXiv 2602.20731, App. B.2, Table 6): a small Transformer encoder on frozen tokens, read at its CLS.

A task of classes or categories has a logit for each of them. A task of relations has one logit for each candidate
triplet: three projected phrases follow the image's tokens, and the image's own triplet has to get the highest logit.

Shapes: B images, N tokens of each, d values of a token, D width of the probe, O logits; K candidates of an image, each
of three phrases of W values.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

ROLES = 3  # subject, predicate, object
FIRST = 0.02  # DECISION: standard deviation of CLS, positions and types at first


class TransformerProbe(nn.Module):
    """DECISION (D21): pre-norm layers with GELU and a feed-forward of four times the width, a norm before the head."""

    def __init__(
        self,
        *,
        tokens: int,
        token_width: int,
        outputs: int,
        width: int,
        blocks: int,
        heads: int,
        dropout: float,
        phrase_width: int | None = None,
    ):
        """tokens: N; phrase_width: W of a task of relations, else None; outputs: O, 1 for relations."""
        super().__init__()
        roles = 0 if phrase_width is None else ROLES
        self.embed = nn.Linear(token_width, width)
        self.phrases = nn.ModuleList(nn.Linear(phrase_width, width) for _ in range(roles))
        self.cls = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, 1 + tokens + roles, width))  # CLS, tokens, phrases
        self.types = nn.Parameter(torch.empty(2 + roles, width))  # image, CLS; subject, predicate, object
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, blocks, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, outputs)
        self.tokens = tokens
        for parameter in (self.cls, self.positions, self.types):
            nn.init.normal_(parameter, std=FIRST)

    def forward(self, tokens: Tensor, there: Tensor | None = None, phrases: Tensor | None = None) -> Tensor:
        """Tokens (B, N, d), bool (B, N) which of them an image has (None: all), and of relations phrases (B, K, 3, W)
        -> logits (B, O), or (B, K).
        """
        x = self.embed(tokens) + self.positions[:, 1 : 1 + self.tokens] + self.types[0]  # (B, N, D)
        if there is not None:
            x, there = packed(x, there)
        cls = (self.cls + self.positions[:, :1] + self.types[1]).expand(len(x), -1, -1)
        x = torch.cat([cls, x], dim=1)
        absent = None if there is None else torch.cat([there.new_zeros(len(x), 1), ~there], dim=1)
        if phrases is None:
            return self.head(self.blocks(x, src_key_padding_mask=absent)[:, 0])
        images, candidates = phrases.shape[:2]
        words = torch.stack([project(phrases[:, :, role]) for role, project in enumerate(self.phrases)], dim=2)
        words = words + self.positions[0, 1 + self.tokens :] + self.types[2:]  # (B, K, 3, D)
        x = torch.cat([x[:, None].expand(-1, candidates, -1, -1), words], dim=2).flatten(0, 1)
        if absent is not None:
            absent = torch.cat([absent, absent.new_zeros(images, ROLES)], dim=1).repeat_interleave(candidates, dim=0)
        logits = self.head(self.blocks(x, src_key_padding_mask=absent)[:, 0])  # (B K, 1)
        return logits.view(images, candidates)


def packed(x: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (B, N, D) without the places in which no image has one: the others keep their order, (B, L, D), (B, L)."""
    longest = max(1, int(there.sum(dim=1).max()))
    order = there.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :longest]
    return x.gather(1, order[..., None].expand(-1, -1, x.shape[2])), there.gather(1, order)


def build(model: Mapping[str, Any]) -> TransformerProbe:
    """From the settings of a job."""
    return TransformerProbe(**model)
