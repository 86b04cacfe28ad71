"""LlamaGen's tokenizer (arXiv 2406.06525, Sec. 2.1): VQGAN's convolutional autoencoder around a codebook of directions.

Encoder and decoder are those of latent diffusion's first stages, with attention at the lowest level of both. Vectors of
the latent map and entries of the codebook have unit length when they are compared (Sec. 2.1, after ViT-VQGAN, arXiv
2110.04627), so that few values per code and a large codebook go together.

Shapes: B images, S image side, f downsampling, G = S / f, N = G * G codes of an image, V entries of the codebook, W
their width.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.losses.adversarial import (
    DiscriminatorSize,
    PatchDiscriminator,
    adversarial_groups,
    balanced_generator_loss,
    discriminator_loss,
    init_pix2pix,
)
from tesserae.losses.perceptual import perceptual_loss
from tesserae.nn.conv_autoencoder import ConvDecoder, ConvEncoder
from tesserae.quantizers.entropy import entropy_loss
from tesserae.quantizers.vector import Quantized, VectorQuantizer, codebook_health, nearest, squared_distances


class LossWeights(TypedDict):
    reconstruction: float
    perceptual: float
    quantizer: float
    gan: float


class Reconstruction(NamedTuple):
    images: Tensor  # (B, 3, S, S), about [-1, 1], not clamped
    latents: Tensor  # (B, N, W), as the encoder makes them
    quantized: Quantized  # what became of them


# ---- the model --------------------------------------------------------------------------------------------------


class LlamaGenVQ(nn.Module):
    """The autoencoder and its losses. `forward` is the training path, `encode` and `decode` are what others use.

    `discriminator` is built only if `gan_start_step` is given. The frozen network of the perceptual loss is in no state
    dict and is read at first use. The model reads no text.
    """

    TRAINING_ONLY = ("discriminator.",)  # parameters that are not part of the tokenizer

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
        super().__init__()
        pixels = 2 ** (len(multipliers) - 1)
        if image_size % pixels:
            raise ValueError(f"image side {image_size} is not divisible by the {pixels} pixels of a code's side")
        if gan_start_step is not None and discriminator is None:
            raise ValueError("a GAN start step needs the size of a discriminator")
        self.grid, self.vocabulary = image_size // pixels, codebook_size
        self.tokens = self.grid**2
        self.commitment, self.entropy_ratio = commitment, entropy_ratio
        self.loss_weights, self.adaptive_gan = dict(loss_weights), adaptive_gan
        self.gan_start_step = gan_start_step
        self.perceptual_loss = perceptual_loss(perceptual, loss_weights["perceptual"])
        # Everything but the codebook keeps PyTorch's initialisation, as in the official code.
        self.encoder = ConvEncoder(channels, multipliers, res_blocks, latent_channels, True)
        self.quant_conv = nn.Conv2d(latent_channels, code_width, 1)
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

    def encode(self, images: Tensor, *, text: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> codes int64 (B, N), row by row. `text` and `rng` are not used."""
        return nearest(F.normalize(self.latents(images).float(), dim=2), self.quantize.entries())

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, N) -> images (B, 3, S, S), about [-1, 1], not clamped."""
        return self.decode_entries(self.quantize.lookup(codes))

    def decode_entries(self, entries: Tensor) -> Tensor:
        """Entries of the codebook (B, N, W) -> images (B, 3, S, S)."""
        maps = entries.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        return self.decoder(self.post_quant_conv(maps))

    # ---- training -----------------------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> Reconstruction:
        """Images (B, 3, S, S) in [-1, 1] -> reconstruction; the decoder's gradient goes straight to the encoder."""
        # DEPARTS: under bf16 autocast the official training compares vectors and entries in bf16; here in float32.
        latents = self.latents(images)
        quantized = self.quantize(latents)
        return Reconstruction(self.decode_entries(quantized.vectors), latents, quantized)

    def losses(self, batch: dict, step: int, rng: torch.Generator) -> Iterator[tuple]:
        """Weighted terms of the autoencoder's update, then, once the GAN is on, of the discriminator's.

        With the first come what is watched of the micro-batch's codes: usage of the codebook and perplexity. The
        first group must have been stepped before the second is asked for. "perceptual" and "gan" are there only while
        they are on. batch["images"] (B, 3, S, S) in [-1, 1]; losses are float32, `rng` is not used.
        """
        images = batch["images"]
        output = self(images)
        output = output._replace(images=output.images.float())
        adversarial = self.gan_start_step is not None and step >= self.gan_start_step
        full_precision = torch.autocast(images.device.type, enabled=False)
        with full_precision:
            terms = self.terms(images.float(), output, adversarial)
        yield "autoencoder", terms, codebook_health(output.quantized.codes, self.vocabulary)
        if adversarial:
            with full_precision:
                hinge = discriminator_loss(self.discriminator, images.float(), output.images)
            # Weighted as in the official code, where it matters for clipping alone.
            yield "discriminator", {"hinge": self.loss_weights["gan"] * hinge}

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
            directions = F.normalize(output.latents.float(), dim=2)
            entropy = entropy_loss(squared_distances(directions, self.quantize.entries()))
            terms["entropy"] = weights["quantizer"] * self.entropy_ratio * entropy
        if adversarial:
            last = self.decoder.conv_out.weight if self.adaptive_gan else None
            gan = balanced_generator_loss(self.discriminator, output.images, fidelity, last)
            terms["gan"] = weights["gan"] * gan
        return terms

    def freeze_encoder(self) -> None:
        """Leave only the decoder to train: codes and codebook stay what they are."""
        self.encoder.requires_grad_(False)
        self.quant_conv.requires_grad_(False)
        self.quantize.requires_grad_(False)

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Trainable parameters of each optimizer: "autoencoder", and "discriminator" where there is one."""
        return adversarial_groups(self)

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Biases and gains. The official training decays nothing at all."""
        return parameter.ndim < 2


def build(spec: dict) -> LlamaGenVQ:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of LlamaGenVQ."""
    return LlamaGenVQ(**spec)
