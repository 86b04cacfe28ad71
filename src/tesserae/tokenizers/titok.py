"""TiTok ("An Image is Worth 32 Tokens", arXiv 2406.07550) as it was published first, in two stages: a one-dimensional
VQ tokenizer whose decoder predicts the codes of another one, MaskGIT's, and makes images with that one's decoder.

TiTok's later form, which predicts pixels at once, is ConceptTok without text (concepttok.py). Layers, losses and names
are those of the official code, most of them in two_stage.py. Left out is its form with continuous tokens.

Shapes: as in two_stage.py: B images, G x G = P codes of the proxy, of which there are V, N latent tokens, d width of a
code.
"""

import torch
from torch import Tensor

from tesserae.nn.clip_blocks import learned
from tesserae.nn.sizes import TransformerSize
from tesserae.quantizers.vector import VectorQuantizer
from tesserae.tokenizers.two_stage import CodeDecoder, Predicted, TwoStage


class Decoder(CodeDecoder):
    """Entries of the codebook (B, N, d) -> logits (B, V, G, G) of the proxy's codes; a mask stands for each of them."""

    def __init__(self, size: TransformerSize, grid: int, latent_tokens: int, code_width: int, codes: int):
        super().__init__(size, grid, latent_tokens, code_width, codes)
        self.mask_token = learned(1, 1, size["width"])

    def forward(self, vectors: Tensor) -> Tensor:
        return self.predict(self.mask_token.expand(len(vectors), self.grid**2, -1), vectors)


class TiTok(TwoStage):
    """The tokenizer and its losses: see `TwoStage`, also for the keywords. Nothing is drawn: `rng` is not used."""

    Decoder = Decoder

    @staticmethod
    def make_quantizer(entries: int, width: int) -> VectorQuantizer:
        return VectorQuantizer(entries, width, clustering=False, l2=True)

    def decoded(self, vectors: Tensor, codes: Tensor) -> Tensor:
        """Entries (B, N, d) -> logits (B, V, G, G)."""
        return self.decoder(vectors)

    def forward(self, images: Tensor, codes: Tensor | None = None, rng: torch.Generator | None = None) -> Predicted:
        """Images (B, 3, S, S) in [-1, 1] -> logits; the decoder's gradient goes straight to the encoder."""
        quantized = self.quantize(self.latents(images))
        return Predicted(self.decoder(quantized.vectors), quantized)


def build(spec: dict) -> TiTok:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of TiTok."""
    return TiTok(**spec)
