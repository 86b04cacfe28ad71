"""A tokenizer of SelfTok's family (arXiv 2505.07538): a flow sees the more tokens of an image the more of it the noise
hides, so that their order is that of the flow; a long code, of a codebook of directions.

As in SelfTok's code: registers see the patches and each other, patches see no register; from pure noise, where all
tokens are seen, to the image, where one is, in stages; a token that is not seen is hidden from all others. DEPARTS:
pixels instead of SD3's latents, one transformer for patches and tokens with a modulation of each instead of two, and
none of the registers by their places; codes move by gradient, and to what is coded if they are hardly used, not by
running means.

Shapes: as in flow_tokens.py: B images, N tokens, d values of a token, D width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tesserae.diffusion.flow import draw_uniform_times
from tesserae.nn.nested_dropout import first
from tesserae.nn.prefix_law import check_law, seen_at
from tesserae.quantizers.vector import VectorQuantizer
from tesserae.tokenizers.flow_tokens import Coded, Condition, FlowTokenizer


class SelfTokLike(FlowTokenizer):
    """See `FlowTokenizer` for the keywords that are not its own.

    `stage_ends` and `stage_counts` are the law of nn/prefix_law.py; `quantizer` weighs the codebook's loss and
    `commitment` that of what is coded, beside it.
    """

    def __init__(
        self,
        *,
        codebook_size: int,
        code_width: int,
        quantizer: float,
        commitment: float,
        stage_ends: Sequence[float],
        stage_counts: Sequence[int],
        **shared: Any,
    ):
        super().__init__(causal=False, code_width=code_width, vocabulary=codebook_size, **shared)
        check_law(stage_ends, stage_counts)
        self.stage_ends, self.stage_counts = list(stage_ends), list(stage_counts)
        self.quantizer, self.commitment = quantizer, commitment
        self.quantize = VectorQuantizer(codebook_size, code_width, clustering=True, l2=True)
        nn.init.normal_(self.quantize.embedding.weight, std=code_width**-0.5)
        self.code_norm = nn.LayerNorm(code_width)

    def coded(self, latents: Tensor) -> Coded:
        found = self.quantize(latents)
        pulled = self.quantizer * (found.codebook + self.commitment * found.commitment)
        return Coded(found.vectors, found.codes, {"quantizer": pulled})

    def lookup(self, codes: Tensor) -> Tensor:
        return self.quantize.lookup(codes)

    def draw_times(self, patches: Tensor, rng: torch.Generator) -> Tensor:
        return draw_uniform_times(patches, rng)  # at 256 pixels the official shift is 1, which is none

    def shown(self, vectors: Tensor, t: Tensor, rng: torch.Generator | None, kept: Tensor | None = None) -> Condition:
        """As many tokens as the law says; none of some images, in training."""
        visible = first(seen_at(1 - t, self.tokens, self.stage_ends, self.stage_counts), self.tokens)
        if kept is not None:
            visible = visible & first(kept, self.tokens)
        if rng is not None:
            visible = visible & ~self.drop(len(vectors), rng, vectors.device)[:, None]
        return Condition(self.decoder.embedded(self.code_norm(vectors)), visible)

    def nothing(self, vectors: Tensor) -> Condition:
        return Condition(self.decoder.embedded(self.code_norm(vectors)), torch.zeros_like(vectors[..., 0]).bool())

    def freeze_encoder(self) -> None:
        super().freeze_encoder()
        self.quantize.requires_grad_(False)
        self.quantize.clustering = False

    def collected(self, group: str) -> dict[str, Tensor]:
        """What `after_backward` needs of each micro-batch: see VectorQuantizer.collected."""
        return self.quantize.collected()

    def after_backward(self, group: str, collected: dict[str, Tensor]) -> None:
        """Move unused codes to what is coded, by what all micro-batches collected."""
        if collected:
            self.quantize.renew(**collected)


def build(spec: dict) -> SelfTokLike:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of SelfTokLike."""
    return SelfTokLike(**spec)
