"""Latent diffusion's first stage (arXiv 2112.10752, Sec. 3.1, App. G): a convolutional autoencoder with a KL penalty, a
perceptual and an adversarial loss. What the baseline tokenizers kl_vae and va_vae share.

The latents of a training step may be corrupted by l-DeTok's noise (arXiv 2507.15856, Eq. 4), which is the control
experiment of its Sec. A.1; nothing is corrupted at use.

Shapes: B images, S image side, f downsampling, H = S / f side of the latent map, M its channels, P side of the square
of latents that makes a token, G = H / P, N = G * G tokens, C = P * P * M values of a token.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypedDict

import torch
from torch import Tensor, nn

from tesserae.diffusion.latent_noise import NOISES, draw_noise
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
from tesserae.quantizers.gaussian import GaussianPosterior


class LossWeights(TypedDict):
    reconstruction: float
    perceptual: float
    kl: float
    gan: float


class Reconstruction(NamedTuple):
    images: Tensor  # (B, 3, S, S), about [-1, 1], not clamped
    posterior: GaussianPosterior  # (B, N, C)
    latents: Tensor  # (B, N, C), drawn from it and not yet corrupted


class FirstStage(nn.Module):
    """The autoencoder and its losses. `forward` is the training path, `encode` and `decode` are what others use.

    `discriminator` is built only if `gan_start_step` is given. The frozen network of the perceptual loss is in no state
    dict and is read at first use.
    """

    TRAINING_ONLY: tuple[str, ...] = ("discriminator.",)  # parameters that are not part of the tokenizer

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        multipliers: Sequence[int],
        res_blocks: int,
        latent_channels: int,
        latent_patch: int,
        encoder_attention: bool,
        decoder_attention: bool,
        noise: Literal["interpolative", "additive"],
        gamma: float,
        perceptual: Literal["lpips", "lite2", "none"],
        loss_weights: LossWeights,
        adaptive_gan: bool,
        gan_start_step: int | None,
        discriminator: DiscriminatorSize | None,
    ):
        super().__init__()
        pixels = 2 ** (len(multipliers) - 1) * latent_patch
        if image_size % pixels:
            raise ValueError(f"image side {image_size} is not divisible by the {pixels} pixels of a token's side")
        if noise not in NOISES or gamma < 0:
            raise ValueError(f"unknown noise {noise!r} or negative gamma {gamma}")
        if gan_start_step is not None and discriminator is None:
            raise ValueError("a GAN start step needs the size of a discriminator")
        self.grid, self.patch = image_size // pixels, latent_patch
        self.tokens, self.latent_channels = self.grid**2, latent_patch**2 * latent_channels
        self.noise, self.gamma = NOISES[noise], gamma
        self.loss_weights, self.adaptive_gan = dict(loss_weights), adaptive_gan
        self.gan_start_step = gan_start_step
        self.perceptual_loss = perceptual_loss(perceptual, loss_weights["perceptual"])
        # Everything keeps PyTorch's initialisation, as in the official code.
        self.encoder = ConvEncoder(channels, multipliers, res_blocks, 2 * latent_channels, encoder_attention)
        self.quant_conv = nn.Conv2d(2 * latent_channels, 2 * latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(latent_channels, latent_channels, 1)
        self.decoder = ConvDecoder(channels, multipliers, res_blocks, latent_channels, decoder_attention)
        if gan_start_step is not None:
            self.discriminator = PatchDiscriminator(**discriminator)
            init_pix2pix(self.discriminator)

    # ---- use ----------------------------------------------------------------------------------------------------

    def to_tokens(self, maps: Tensor) -> Tensor:
        """Latent maps (B, M, H, H) -> tokens (B, N, C) of squares of P x P latents, row by row."""
        # DECISION: a token's values stand in the order (channel, row, column) for every generator. l-DeTok's official
        # code flattens so for autoregressive models and (row, column, channel) for diffusion models: a permutation of
        # the first layer's weights.
        grid, patch = self.grid, self.patch
        squares = maps.unflatten(3, (grid, patch)).unflatten(2, (grid, patch))  # (B, M, G, P, G, P)
        return squares.permute(0, 2, 4, 1, 3, 5).reshape(len(maps), self.tokens, self.latent_channels)

    def to_maps(self, tokens: Tensor) -> Tensor:
        """The inverse of `to_tokens`."""
        grid, patch = self.grid, self.patch
        squares = tokens.unflatten(2, (-1, patch, patch)).unflatten(1, (grid, grid))  # (B, G, G, M, P, P)
        return squares.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)

    def posterior(self, images: Tensor) -> GaussianPosterior:
        """Images (B, 3, S, S) in [-1, 1] -> posterior of all N tokens, (B, N, C)."""
        mean, logvar = self.quant_conv(self.encoder(images)).chunk(2, dim=1)
        return GaussianPosterior(self.to_tokens(mean), self.to_tokens(logvar))

    def encode(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> tokens (B, N, C): posterior means, or a sample if `rng` is given."""
        posterior = self.posterior(images)
        return posterior.mode() if rng is None else posterior.sample(rng)

    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, C), not standardised -> images (B, 3, S, S), about [-1, 1], not clamped."""
        return self.decoder(self.post_quant_conv(self.to_maps(tokens)))

    # ---- training -----------------------------------------------------------------------------------------------

    def forward(self, images: Tensor, rng: torch.Generator | None = None) -> Reconstruction:
        """Images (B, 3, S, S) in [-1, 1] -> reconstruction. In eval mode nothing is sampled or corrupted."""
        posterior = self.posterior(images)
        if not self.training:
            return Reconstruction(self.decode(posterior.mode()), posterior, posterior.mode())
        z = corrupted = posterior.sample(rng)
        if self.gamma > 0:
            corrupted = self.noise(z, *draw_noise(z.shape, self.gamma, rng, z.device))
        return Reconstruction(self.decode(corrupted), posterior, z)

    def losses(self, batch: dict, step: int, rng: torch.Generator) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Weighted terms of the autoencoder's update, then, once the GAN is on, of the discriminator's.

        The first group must have been stepped before the second is asked for. "perceptual" and "gan" are there only
        while they are on. batch["images"] (B, 3, S, S) in [-1, 1]; losses are float32.
        """
        images = batch["images"]
        output = self(images, rng)
        output = output._replace(images=output.images.float())
        adversarial = self.gan_start_step is not None and step >= self.gan_start_step
        full_precision = torch.autocast(images.device.type, enabled=False)
        with full_precision:
            terms = self.terms(images.float(), output, adversarial)
        yield "autoencoder", terms
        if adversarial:
            with full_precision:
                hinge = discriminator_loss(self.discriminator, images.float(), output.images)
            yield "discriminator", {"hinge": hinge}

    def terms(self, images: Tensor, output: Reconstruction, adversarial: bool) -> dict[str, Tensor]:
        """The autoencoder's loss of float32 images (B, 3, S, S), term by term."""
        # Errors are summed over an image's pixels and the KL over its latents, both then averaged over images; LPIPS is
        # an image's one number, added to each of its pixels (official code). That code also has a learned variance of
        # the errors, which none of its optimizers trains: it stays at 1.
        weights = self.loss_weights
        errors = (output.images - images).abs().flatten(1).sum(dim=1)
        terms = {"reconstruction": weights["reconstruction"] * errors.mean()}
        if self.perceptual_loss is not None:
            distance = self.perceptual_loss(images, output.images)
            terms["perceptual"] = weights["perceptual"] * images[0].numel() * distance
        fidelity = sum(terms.values())
        terms["kl"] = weights["kl"] * output.posterior.kl().mean()
        if adversarial:
            last = self.decoder.conv_out.weight if self.adaptive_gan else None
            gan = balanced_generator_loss(self.discriminator, output.images, fidelity, last)
            terms["gan"] = weights["gan"] * gan
        return terms

    def freeze_encoder(self) -> None:
        """Leave only the decoder to train. The posterior is still sampled."""
        self.encoder.requires_grad_(False)
        self.quant_conv.requires_grad_(False)

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Trainable parameters of each optimizer: "autoencoder", and "discriminator" where there is one."""
        return adversarial_groups(self)

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Biases and gains. The published recipes decay nothing at all."""
        return parameter.ndim < 2
