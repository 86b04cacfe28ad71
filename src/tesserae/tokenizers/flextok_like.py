"""A tokenizer of FlexTok's family (arXiv 2502.13967): registers that come in an order, finite scalar quantisation,
nested dropout, a flow as decoder, and REPA.

As in FlexTok: registers are causal, and patches see none of them; of each image the decoder gets the first k tokens in
training, a learned token stands for the others, and another one for all tokens of some images; patches and tokens have
modulations of their own; patches of an early block are aligned with a frozen network's. DEPARTS: pixels instead of
latents of its first stage, learned positions, plain blocks (FlexTok: SwiGLU, normalised queries and keys, muP): its
published weights are those of another network and are not read.

Shapes: as in flow_tokens.py: B images, P patches, N tokens, d values of a token, D width, W of a teacher's features.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tesserae.diffusion.mode_times import draw_mode_times
from tesserae.encoders.teachers import CHANNELS
from tesserae.losses.representation import projector, representation_loss
from tesserae.nn.nested_dropout import Law, draw_kept, first
from tesserae.quantizers.finite import FiniteQuantizer
from tesserae.tokenizers.flow_tokens import Coded, Condition, FlowTokenizer

TOKEN_STD = 0.02  # FlexTok, official code


class FlexTokLike(FlowTokenizer):
    """See `FlowTokenizer` for the keywords that are not its own.

    `representation` is the weight of REPA, with batch["teacher_grid"] (B, P, W) of the `teacher`; 0: there is none.
    `aligned_block` counts from 0.
    """

    TRAINING_ONLY = ("projector.",)

    def __init__(
        self,
        *,
        levels: Sequence[int],
        kept_law: Law,
        mode_scale: float,
        representation: float,
        aligned_block: int,
        projector_width: int,
        teacher: str | None,
        **shared: Any,
    ):
        if representation and teacher not in CHANNELS:
            raise ValueError(f"a weight of `representation` needs a teacher, one of {', '.join(CHANNELS)}: {teacher!r}")
        quantize = FiniteQuantizer(levels)
        super().__init__(causal=True, code_width=quantize.width, vocabulary=quantize.vocabulary, **shared)
        width, blocks = shared["decoder"]["width"], shared["decoder"]["blocks"]
        if not 0 <= aligned_block < blocks:
            raise ValueError(f"aligned_block {aligned_block}: a decoder of {blocks} blocks has 0 to {blocks - 1}")
        draw_kept(0, self.tokens, kept_law, torch.Generator())  # refuses a law that does not fit
        self.quantize, self.kept_law, self.mode_scale = quantize, kept_law, mode_scale
        self.representation, self.aligned_block = representation, aligned_block
        self.teacher_side = self.grid if representation else 0
        self.left_out_token = nn.Parameter(TOKEN_STD * torch.randn(width))
        self.null_token = nn.Parameter(TOKEN_STD * torch.randn(width))
        if representation:
            self.projector = projector(width, projector_width, CHANNELS[teacher])

    def coded(self, latents: Tensor) -> Coded:
        vectors = self.quantize(latents)
        return Coded(vectors, self.quantize.codes(vectors.detach()), {})

    def lookup(self, codes: Tensor) -> Tensor:
        return self.quantize.lookup(codes)

    def draw_times(self, patches: Tensor, rng: torch.Generator) -> Tensor:
        return draw_mode_times(patches, rng, self.mode_scale)

    def shown(self, vectors: Tensor, t: Tensor, rng: torch.Generator | None, kept: Tensor | None = None) -> Condition:
        """All tokens, or the first ones; what stands for the others is seen as well."""
        if rng is not None:
            kept = draw_kept(len(vectors), self.tokens, self.kept_law, rng).to(vectors.device)
        tokens = self.decoder.embedded(vectors)
        if kept is not None:
            tokens = torch.where(first(kept, self.tokens)[..., None], tokens, self.left_out_token)
        if rng is not None:
            dropped = self.drop(len(vectors), rng, vectors.device)
            tokens = torch.where(dropped[:, None, None], self.null_token, tokens)
        return Condition(tokens, None)

    def nothing(self, vectors: Tensor) -> Condition:
        return Condition(self.null_token.expand(len(vectors), self.tokens, -1), None)

    def further_terms(self, hidden: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
        if not self.representation:
            return {}
        distance = representation_loss(self.projector(hidden.float()), batch["teacher_grid"])
        return {"representation": self.representation * distance}


def build(spec: dict) -> FlexTokLike:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of FlexTokLike."""
    return FlexTokLike(**spec)
