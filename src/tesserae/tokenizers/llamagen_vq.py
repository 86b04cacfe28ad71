"""LlamaGen's tokenizer (arXiv 2406.06525, Sec. 2.1): VQGAN's convolutional autoencoder around a codebook of directions.

Encoder and decoder are those of latent diffusion's first stages, with attention at the lowest level of both. Vectors of
the latent map and entries of the codebook have unit length when they are compared (Sec. 2.1, after ViT-VQGAN, arXiv
2110.04627), so that few values per code and a large codebook go together.

Shapes: as in vqgan.py: B images, S image side, N codes of an image, W width of the codebook's entries.
"""

from collections.abc import Sequence
from typing import Literal, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.losses.adversarial import (
    DiscriminatorSize,
    PatchDiscriminator,
    balanced_generator_loss,
    discriminator_loss,
    init_pix2pix,
)
from tesserae.nn.conv_autoencoder import ConvDecoder, ConvEncoder
from tesserae.quantizers.vector import VectorQuantizer
from tesserae.tokenizers.vqgan import VQGAN, Reconstruction


class LossWeights(TypedDict):
    reconstruction: float
    perceptual: float
    quantizer: float
    gan: float


class LlamaGenVQ(VQGAN):
    """The tokenizer and its losses: see `VQGAN`."""

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        multipliers: Sequence[int],
        res_blocks: int,
        latent_channels: int,
        codebook_size: int,
        code_width: int,
        commitment: float,
        entropy_ratio: float,
        perceptual: Literal["lpips", "lite2", "none"],
        loss_weights: LossWeights,
        adaptive_gan: bool,
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
        self.commitment, self.entropy_ratio, self.adaptive_gan = commitment, entropy_ratio, adaptive_gan
        # Everything but the codebook keeps PyTorch's initialisation, as in the official code.
        self.encoder = ConvEncoder(channels, multipliers, res_blocks, latent_channels, True)
        self.quant_conv = nn.Conv2d(latent_channels, code_width, 1)
        # DEPARTS: under bf16 autocast the official training compares vectors and entries in bf16; here in float32.
        self.quantize = VectorQuantizer(codebook_size, code_width, clustering=False, l2=True)
        with torch.no_grad():
            self.quantize.embedding.weight.copy_(self.quantize.entries())  # they begin with unit length
        self.post_quant_conv = nn.Conv2d(code_width, latent_channels, 1)
        self.decoder = ConvDecoder(channels, multipliers, res_blocks, latent_channels, True)
        if gan_start_step is not None:
            self.discriminator = PatchDiscriminator(**discriminator)
            init_pix2pix(self.discriminator)

    # ---- use ----------------------------------------------------------------------------------------------------

    def latents(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> vectors (B, N, W), row by row, whose directions are to be quantised."""
        return self.quant_conv(self.encoder(images)).flatten(2).transpose(1, 2)

    def compared(self, latents: Tensor) -> Tensor:
        """Their directions, float32."""
        return F.normalize(latents.float(), dim=2)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, N) -> images (B, 3, S, S), about [-1, 1], not clamped."""
        return self.decode_entries(self.quantize.lookup(codes))

    def decode_entries(self, entries: Tensor) -> Tensor:
        """Entries of the codebook (B, N, W) -> images (B, 3, S, S)."""
        return self.decoder(self.post_quant_conv(self.map_of(entries)))

    # ---- training -----------------------------------------------------------------------------------------------

    def terms(self, images: Tensor, output: Reconstruction, adversarial: bool) -> dict[str, Tensor]:
        """The autoencoder's loss of float32 images (B, 3, S, S), term by term (Sec. 2.1); every one is a mean."""
        weights, quantized = self.loss_weights, output.quantized
        terms = {"reconstruction": weights["reconstruction"] * F.mse_loss(output.images, images)}
        if self.perceptual_loss is not None:
            terms["perceptual"] = weights["perceptual"] * self.perceptual_loss(images, output.images)
        fidelity = sum(terms.values())
        terms["codebook"] = weights["quantizer"] * quantized.codebook
        terms["commitment"] = weights["quantizer"] * self.commitment * quantized.commitment
        if self.entropy_ratio > 0:
            terms["entropy"] = weights["quantizer"] * self.entropy_ratio * self.entropy(output.latents)
        if adversarial:
            last = self.decoder.conv_out.weight if self.adaptive_gan else None
            gan = balanced_generator_loss(self.discriminator, output.images, fidelity, last)
            terms["gan"] = weights["gan"] * gan
        return terms

    def discriminator_terms(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's loss of float32 images (B, 3, S, S)."""
        # Weighted as in the official code, where it matters for clipping alone.
        return {"hinge": self.loss_weights["gan"] * discriminator_loss(self.discriminator, real, fake)}

    def freeze_encoder(self) -> None:
        """Leave only the decoder to train: codes and codebook stay what they are."""
        super().freeze_encoder()
        self.quant_conv.requires_grad_(False)


def build(spec: dict) -> LlamaGenVQ:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of LlamaGenVQ."""
    return LlamaGenVQ(**spec)
