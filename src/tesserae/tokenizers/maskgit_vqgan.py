"""MaskGIT's tokenizer (arXiv 2202.04200, Sec. 3.1 and App. A): VQGAN without attention around a codebook of vectors.

Of its training only the configuration is public; how its terms are computed is as in its authors' later code, MAGVIT's
(arXiv 2212.05199). Left out are a discriminator of StyleGAN's kind, for TiTok's blurring one, and distances in the
features of an ImageNet classifier, for LPIPS. TiTok and SFTok predict its codes and decode with its decoder.

Shapes: B images, S image side, f downsampling, G = S / f, N = G * G codes of an image, V entries of the codebook, W
their width.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.losses.adversarial import DiscriminatorSize, adversarial_groups
from tesserae.losses.blur_discriminator import BlurDiscriminator
from tesserae.losses.non_saturating import discriminator_losses, generator_loss
from tesserae.losses.perceptual import perceptual_loss
from tesserae.nn.maskgit_autoencoder import MaskGITDecoder, MaskGITEncoder
from tesserae.quantizers.entropy import entropy_loss
from tesserae.quantizers.vector import Quantized, VectorQuantizer, codebook_health, nearest, squared_distances


class LossWeights(TypedDict):
    reconstruction: float
    perceptual: float
    codebook: float
    commitment: float
    entropy: float
    gan: float
    r1: float


class Reconstruction(NamedTuple):
    images: Tensor  # (B, 3, S, S), about [0, 1], not clamped
    latents: Tensor  # (B, N, W), as the encoder makes them
    quantized: Quantized  # what became of them


class MaskGITVQGAN(nn.Module):
    """The autoencoder and its losses. `forward` is the training path, `encode` and `decode` are what others use.

    Our images are in [-1, 1], those of the networks in [0, 1]. `discriminator` is built only if `gan_start_step` is
    given. The frozen network of the perceptual loss is in no state dict and is read at first use.
    """

    TRAINING_ONLY = ("discriminator.",)  # parameters that are not part of the tokenizer

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
        super().__init__()
        pixels = 2 ** (len(multipliers) - 1)
        if image_size % pixels:
            raise ValueError(f"image side {image_size} is not divisible by the {pixels} pixels of a code's side")
        if gan_start_step is not None and discriminator is None:
            raise ValueError("a GAN start step needs the size of a discriminator")
        self.grid, self.vocabulary = image_size // pixels, codebook_size
        self.tokens = self.grid**2
        self.loss_weights, self.gan_start_step = dict(loss_weights), gan_start_step
        self.perceptual_loss = perceptual_loss(perceptual, loss_weights["perceptual"])
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

    def latents(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> vectors (B, N, W), row by row, that are to be quantised."""
        return self.encoder(images * 0.5 + 0.5).flatten(2).transpose(1, 2)

    def encode(self, images: Tensor, *, text: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> codes int64 (B, N), row by row. `text` and `rng` are not used."""
        return nearest(self.latents(images), self.quantize.entries())

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, N) -> images (B, 3, S, S), about [-1, 1], not clamped."""
        return 2 * self.decode_entries(self.quantize.lookup(codes)) - 1

    def decode_entries(self, entries: Tensor) -> Tensor:
        """Entries of the codebook (B, N, W), or means of some -> images (B, 3, S, S), about [0, 1], not clamped."""
        return self.decoder(entries.transpose(1, 2).unflatten(2, (self.grid, self.grid)))

    # ---- training -----------------------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> Reconstruction:
        """Images (B, 3, S, S) in [-1, 1] -> reconstruction; the decoder's gradient goes straight to the encoder."""
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
            target = images.float() * 0.5 + 0.5
            terms = self.terms(target, output, adversarial)
        yield "autoencoder", terms, codebook_health(output.quantized.codes, self.vocabulary)
        if adversarial:
            with full_precision:
                loss, penalty = discriminator_losses(self.discriminator, target, output.images)
            yield "discriminator", {"non_saturating": loss, "r1": self.loss_weights["r1"] * penalty}

    def terms(self, target: Tensor, output: Reconstruction, adversarial: bool) -> dict[str, Tensor]:
        """The autoencoder's loss of float32 images (B, 3, S, S) in [0, 1], term by term; every one is a mean."""
        weights, quantized = self.loss_weights, output.quantized
        terms = {"reconstruction": weights["reconstruction"] * F.mse_loss(output.images, target)}
        if self.perceptual_loss is not None:
            pair = 2 * target - 1, 2 * output.images - 1
            terms["perceptual"] = weights["perceptual"] * self.perceptual_loss(*pair)
        terms["codebook"] = weights["codebook"] * quantized.codebook
        terms["commitment"] = weights["commitment"] * quantized.commitment
        if weights["entropy"] > 0:
            entropy = entropy_loss(squared_distances(output.latents, self.quantize.entries()))
            terms["entropy"] = weights["entropy"] * entropy
        if adversarial:
            terms["gan"] = weights["gan"] * generator_loss(self.discriminator, output.images)
        return terms

    def freeze_encoder(self) -> None:
        """Leave only the decoder to train: codes and codebook stay what they are."""
        self.encoder.requires_grad_(False)
        self.quantize.requires_grad_(False)

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Trainable parameters of each optimizer: "autoencoder", and "discriminator" where there is one."""
        return adversarial_groups(self)

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Biases and gains."""
        return parameter.ndim < 2


def build(spec: dict) -> MaskGITVQGAN:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of MaskGITVQGAN."""
    return MaskGITVQGAN(**spec)
