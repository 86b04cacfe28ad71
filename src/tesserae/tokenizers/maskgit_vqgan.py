"""MaskGIT's tokenizer (arXiv 2202.04200, Sec. 3.1 and App. A): VQGAN without attention around a codebook of vectors.

Of its training only the configuration is public; how its terms are computed is as in its authors' later code, MAGVIT's
(arXiv 2212.05199). Left out are a discriminator of StyleGAN's kind, for TiTok's blurring one, and distances in the
features of an ImageNet classifier, for LPIPS. TiTok and SFTok predict its codes and decode with its decoder.

Shapes: as in vqgan.py: B images, S image side, N codes of an image, W width of the codebook's entries.
"""

import math
from collections.abc import Sequence
from typing import Literal, TypedDict

from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.losses.adversarial import DiscriminatorSize
from tesserae.losses.blur_discriminator import BlurDiscriminator
from tesserae.losses.non_saturating import discriminator_losses, generator_loss
from tesserae.nn.maskgit_autoencoder import MaskGITDecoder, MaskGITEncoder
from tesserae.quantizers.vector import VectorQuantizer
from tesserae.tokenizers.vqgan import VQGAN, Reconstruction


class LossWeights(TypedDict):
    reconstruction: float
    perceptual: float
    codebook: float
    commitment: float
    entropy: float
    gan: float
    r1: float


class MaskGITVQGAN(VQGAN):
    """The tokenizer and its losses: see `VQGAN`. Our images are in [-1, 1], those of the networks in [0, 1]."""

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        multipliers: Sequence[int],
        res_blocks: int,
        codebook_size: int,
        code_width: int,
        perceptual: Literal["lpips", "lite2", "none"],
        loss_weights: LossWeights,
        gan_start_step: int | None,
        discriminator: DiscriminatorSize | None,
    ):
        super().__init__(
            image_size=image_size,
            multipliers=multipliers,
            codebook_size=codebook_size,
            perceptual=perceptual,
            loss_weights=loss_weights,
            gan_start_step=gan_start_step,
            discriminator=discriminator,
        )
        # All but the codebook keep PyTorch's initialisation, as in the port; the original has LeCun's normal one.
        self.encoder = MaskGITEncoder(channels, multipliers, res_blocks, code_width)
        self.quantize = VectorQuantizer(codebook_size, code_width, clustering=False)
        # MAGVIT's; entries that start closer to 0 than that, as the port's, hardly ever come into use.
        limit = math.sqrt(3 / codebook_size)
        nn.init.uniform_(self.quantize.embedding.weight, -limit, limit)
        self.decoder = MaskGITDecoder(channels, multipliers, res_blocks, code_width)
        if gan_start_step is not None:
            self.discriminator = BlurDiscriminator(**discriminator)

    # ---- use ----------------------------------------------------------------------------------------------------

    def pixels(self, images: Tensor) -> Tensor:
        """Images in [-1, 1] -> in [0, 1]."""
        return images * 0.5 + 0.5

    def latents(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> vectors (B, N, W), row by row, that are to be quantised."""
        return self.encoder(self.pixels(images)).flatten(2).transpose(1, 2)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, N) -> images (B, 3, S, S), about [-1, 1], not clamped."""
        return 2 * self.decode_entries(self.quantize.lookup(codes)) - 1

    def decode_entries(self, entries: Tensor) -> Tensor:
        """Entries of the codebook (B, N, W), or means of some -> images (B, 3, S, S), about [0, 1], not clamped."""
        return self.decoder(self.map_of(entries))

    # ---- training -----------------------------------------------------------------------------------------------

    def terms(self, real: Tensor, output: Reconstruction, adversarial: bool) -> dict[str, Tensor]:
        """The autoencoder's loss of float32 images (B, 3, S, S) in [0, 1], term by term; every one is a mean."""
        weights, quantized = self.loss_weights, output.quantized
        terms = {"reconstruction": weights["reconstruction"] * F.mse_loss(output.images, real)}
        if self.perceptual_loss is not None:
            pair = 2 * real - 1, 2 * output.images - 1
            terms["perceptual"] = weights["perceptual"] * self.perceptual_loss(*pair)
        terms["codebook"] = weights["codebook"] * quantized.codebook
        terms["commitment"] = weights["commitment"] * quantized.commitment
        if weights["entropy"] > 0:
            terms["entropy"] = weights["entropy"] * self.entropy(output.latents)
        if adversarial:
            terms["gan"] = weights["gan"] * generator_loss(self.discriminator, output.images)
        return terms

    def discriminator_terms(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's loss of float32 images (B, 3, S, S) in [0, 1]."""
        loss, penalty = discriminator_losses(self.discriminator, real, fake)
        return {"non_saturating": loss, "r1": self.loss_weights["r1"] * penalty}


def build(spec: dict) -> MaskGITVQGAN:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of MaskGITVQGAN."""
    return MaskGITVQGAN(**spec)
