"""SFTok (arXiv 2512.16910): TiTok with a decoder that predicts the codes of another tokenizer in several steps.

Masked codes are predicted from those that are known and from the image's own codes; at each step the surest stay. So
that training sees what use will show it, its known codes are predictions, too, made all at once ("self-forcing"). There
are three stages: all codes in one step; masked codes among known ones that are mostly predictions; pixels. Layers and
names are those of the official code. Left out are its forms with soft proxy codes and with guidance by DINOv2, and its
discriminator upon DINO; guidance without the image's codes, which its network does not know, changes nothing.

Shapes: as in two_stage.py: B images, G x G = P codes of the proxy, of which there are V, N latent tokens, D width, d
width of a code.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tesserae.nn.hashing import seeds_of, uniforms
from tesserae.nn.masking import arccos_ratio, gumbel, masked_after, ranks
from tesserae.nn.sizes import TransformerSize
from tesserae.quantizers.transport import TransportQuantizer
from tesserae.tokenizers.two_stage import INIT_STD, CodeDecoder, Predicted, TwoStage

# Where a decoding's random numbers begin, and their shape -> uniform ones in [0, 1), (B, *shape).
Draw = Callable[[int, tuple[int, ...]], Tensor]


class Decoder(CodeDecoder):
    """Codes of the proxy, of which some are masked, and entries of the codebook -> logits (B, V, G, G)."""

    def __init__(self, size: TransformerSize, grid: int, latent_tokens: int, code_width: int, codes: int):
        super().__init__(size, grid, latent_tokens, code_width, codes)
        self.mask = codes  # its number: that after all codes
        self.learnable_embedding = nn.Embedding(codes + 1, size["width"])
        nn.init.trunc_normal_(self.learnable_embedding.weight, std=INIT_STD)

    def forward(self, codes: Tensor, vectors: Tensor) -> Tensor:
        """Codes int64 (B, P), `mask` where they are not known, and vectors (B, N, d)."""
        return self.predict(self.learnable_embedding(codes), vectors)

    def all_masked(self, count: int, device: torch.device) -> Tensor:
        """int64 (count, P)."""
        return torch.full((count, self.grid**2), self.mask, device=device)


class SFTok(TwoStage):
    """The tokenizer and its losses: see `TwoStage` for the stages and the keywords that are not its own.

    `replaced` is the share of known codes that are the network's own predictions; None: nothing is known. `steps` are
    those of a decoding.
    """

    Decoder = Decoder

    def __init__(
        self,
        *,
        learns: Literal["codes", "pixels"],
        replaced: float | None,
        unmasked_weight: float,
        steps: int,
        choice_temperature: float,
        **shared: Any,
    ):
        super().__init__(learns=learns, **shared)
        if learns == "pixels" and replaced not in (None, 1.0):
            raise ValueError(
                f"the stage that learns pixels knows no codes but its own: `replaced` is {replaced}, not 1"
            )
        self.replaced, self.unmasked_weight = replaced, unmasked_weight
        self.steps, self.choice_temperature = steps, choice_temperature

    @staticmethod
    def make_quantizer(entries: int, width: int) -> TransportQuantizer:
        return TransportQuantizer(entries, width)

    # ---- use ----------------------------------------------------------------------------------------------------

    def decoded(self, vectors: Tensor, codes: Tensor) -> Tensor:
        """Entries (B, N, d), and their codes (B, N), which decide what is drawn -> logits (B, V, G, G)."""
        # DEPARTS: the official code draws from one stream, so that the same codes make another image every time.
        return self.generate(vectors, partial(uniforms, seeds_of(codes)))

    def generate(self, vectors: Tensor, draw: Draw) -> Tensor:
        """Entries (B, N, d) -> logits (B, V, G, G) of the last step, from given randomness."""
        codes = self.decoder.all_masked(len(vectors), vectors.device)
        masked, lengths, drawn = codes == self.decoder.mask, torch.full_like(codes[:, 0], codes.shape[1]), 0
        for step in range(self.steps):
            logits = self.decoder(codes, vectors)
            if step == self.steps - 1:
                break
            scores = logits.float().flatten(2).transpose(1, 2)  # (B, P, V)
            temperature = self.choice_temperature * (1 - (step + 1) / self.steps)
            noise = gumbel(draw(drawn, scores.shape[1:])), gumbel(draw(drawn + scores[0].numel(), scores.shape[1:2]))
            drawn += scores[0].numel() + scores.shape[1]
            new = (scores + temperature * noise[0]).argmax(dim=2)
            # Of what is chosen the logit, not its probability (official code).
            confidence = scores.gather(2, new[..., None])[..., 0].masked_fill(~masked, torch.inf)
            rank = ranks(confidence + temperature * noise[1])
            codes = torch.where(masked, new, codes)
            masked = rank < masked_after(step, self.steps, lengths, masked.sum(dim=1))[:, None]  # the least confident
            codes = codes.masked_fill(masked, self.decoder.mask)
        return logits

    # ---- training -----------------------------------------------------------------------------------------------

    def forward(self, images: Tensor, codes: Tensor | None, rng: torch.Generator) -> Predicted:
        """Images (B, 3, S, S) in [-1, 1], and the proxy's codes (B, P) in the first stages -> predictions."""
        quantized = self.quantize(self.latents(images), balanced=True)
        hidden = self.decoder.all_masked(len(images), images.device)
        if self.replaced is None:
            return Predicted(self.decoder(hidden, quantized.vectors), quantized)
        with (
            torch.no_grad(),
            torch.autocast(images.device.type, enabled=False),
        ):  # which would keep weights without grad
            known = self.decoder(hidden, quantized.vectors).argmax(dim=1).flatten(1)
        if codes is not None:
            own = self._drawn(rng, known) < self.replaced
            known = torch.where(own, known, codes)
        masked = self._masked(known, rng)
        logits = self.decoder(torch.where(masked, hidden, known), quantized.vectors)
        return Predicted(logits, quantized, torch.where(masked, 1.0, self.unmasked_weight))

    def _masked(self, codes: Tensor, rng: torch.Generator) -> Tensor:
        """Which codes are masked, bool (B, P): of each image a number that the arccos law draws, from none to all."""
        progress = torch.rand(len(codes), generator=rng, device=rng.device).to(codes.device)
        count = (codes.shape[1] * arccos_ratio(progress)).round()
        return ranks(self._drawn(rng, codes)) < count[:, None]

    @staticmethod
    def _drawn(rng: torch.Generator, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=rng, device=rng.device).to(like.device)

    def freeze_encoder(self) -> None:
        """What does not go on from the stage before: nothing for codes, encoder and codebook for pixels."""
        if self.learns == "pixels":
            super().freeze_encoder()


def build(spec: dict) -> SFTok:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of SFTok."""
    return SFTok(**spec)
