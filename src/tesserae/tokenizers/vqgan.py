"""What LlamaGen's tokenizer (arXiv 2406.06525) and MaskGIT's (arXiv 2202.04200) share: they are VQGANs (arXiv
2012.09841), convolutions around a codebook, with a perceptual and an adversarial loss.

Shapes: B images, S image side, f downsampling, G = S / f, N = G * G codes of an image, V entries of the codebook, W
their width.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tesserae.losses.adversarial import DiscriminatorSize, adversarial_groups
from tesserae.losses.perceptual import perceptual_loss
from tesserae.quantizers.entropy import entropy_loss
from tesserae.quantizers.vector import Quantized, VectorQuantizer, codebook_health, nearest, squared_distances


class Reconstruction(NamedTuple):
    images: Tensor  # (B, 3, S, S), about the range of the networks' pixels, not clamped
    latents: Tensor  # (B, N, W), as the encoder makes them
    quantized: Quantized  # what became of them


class VQGAN(nn.Module):
    """An autoencoder around a codebook, and its losses.

    `forward` is the training path, `encode` and `decode` are what others use. No text is read. The frozen network of
    the perceptual loss is in no state dict and is read at first use.

    Subclasses build `encoder`, `quantize`, `decoder` and, only if `gan_start_step` is given, `discriminator`. They
    bring `latents`, `decode_entries` and `decode`; and of the losses, of pixels as their networks make them, `terms`
    and `discriminator_terms`.
    """

    TRAINING_ONLY = ("discriminator.",)  # parameters that are not part of the tokenizer
    quantize: VectorQuantizer

    def __init__(
        self,
        *,
        image_size: int,
        multipliers: Sequence[int],
        codebook_size: int,
        perceptual: str,
        loss_weights: Mapping[str, float],
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

    # ---- use ----------------------------------------------------------------------------------------------------

    def pixels(self, images: Tensor) -> Tensor:
        """Images in [-1, 1] as the networks read and make them: as they are, unless a subclass says otherwise."""
        return images

    def compared(self, latents: Tensor) -> Tensor:
        """Latents (B, N, W) as they are compared with entries: as they are, unless a subclass says otherwise."""
        return latents

    def encode(self, images: Tensor, *, text: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> codes int64 (B, N), row by row. `text` and `rng` are not used."""
        return nearest(self.compared(self.latents(images)), self.quantize.entries())

    def map_of(self, entries: Tensor) -> Tensor:
        """(B, N, W) -> (B, W, G, G)."""
        return entries.transpose(1, 2).unflatten(2, (self.grid, self.grid))

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
            real = self.pixels(images.float())
            terms = self.terms(real, output, adversarial)
        yield "autoencoder", terms, codebook_health(output.quantized.codes, self.vocabulary)
        if adversarial:
            with full_precision:
                terms = self.discriminator_terms(real, output.images)
            yield "discriminator", terms

    def entropy(self, latents: Tensor) -> Tensor:
        """What choices of entries cost that are unsure, or often the same: latents (B, N, W) -> 0-d."""
        return entropy_loss(squared_distances(self.compared(latents), self.quantize.entries()))

    def freeze_encoder(self) -> None:
        """Leave only the decoder to train: codes and codebook stay what they are."""
        self.encoder.requires_grad_(False)
        self.quantize.requires_grad_(False)

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Trainable parameters of each optimizer: "autoencoder", and "discriminator" where there is one."""
        return adversarial_groups(self)

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Biases and gains. LlamaGen's official training decays nothing at all."""
        return parameter.ndim < 2
