"""l-DeTok (arXiv 2507.15856), Sec. 3.2, 4 and A.1: an autoencoder whose decoder rebuilds clean images from corrupted
latents.

Two corruptions, both off at use: noise on the latents (Eq. 4) and random masking of patches (Eq. 5). With gamma = 0
and mask_ratio = 0 the same code is the conventional KL autoencoder of the paper's baseline. Standardising latents is
left to whoever caches tokens; fine-tuning a decoder is this model after `freeze_encoder()`.

Shapes: B images, S image side, P patch side, G = S / P, N = G * G tokens, K kept tokens, C latent channels, D width.
"""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.diffusion.latent_noise import NOISES, draw_noise
from tesserae.losses.adversarial import (
    DiscriminatorSize,
    PatchDiscriminator,
    adversarial_groups,
    discriminator_loss,
    generator_loss,
)
from tesserae.losses.perceptual import perceptual_loss
from tesserae.nn.attention import Attention
from tesserae.nn.feedforward import SwiGLU
from tesserae.nn.rope import detok_rope_table
from tesserae.nn.sizes import TransformerSize
from tesserae.quantizers.gaussian import GaussianPosterior

MASK_BIAS = 0.1  # Eq. 5: U(-0.1, M)


class LossWeights(TypedDict):
    mse: float
    perceptual: float
    kl: float
    gan: float


class Reconstruction(NamedTuple):
    images: Tensor  # (B, 3, S, S), about [-1, 1], not clamped
    posterior: GaussianPosterior  # (B, K, C)


# ---- corruptions ------------------------------------------------------------------------------------------------


def draw_mask_ratio(largest: float, rng: torch.Generator) -> float:
    """Eq. 5: m = max(0, U(-0.1, M)), so that P(m = 0) = 0.1 / (M + 0.1)."""
    uniform = torch.rand((), generator=rng, device=rng.device).item()
    return max(0.0, uniform * (largest + MASK_BIAS) - MASK_BIAS)


def visible_tokens(tokens: int, ratio: float) -> int:
    """K = ceil(N (1 - m)): how many of N tokens a masking ratio m leaves."""
    # DECISION: the paper states no rounding; the official code's serves random ratios and also the constant ones of
    # Fig. 3b, which that code does not contain.
    return math.ceil(tokens * (1 - ratio))


def draw_visible(batch: int, tokens: int, ratio: float, rng: torch.Generator, device: torch.device) -> Tensor | None:
    """Positions that stay: int64 (B, K), a random subset of its own for each image (Sec. 3.2).

    None where all stay, which saves the gather and the restoring.
    """
    kept = visible_tokens(tokens, ratio)
    if kept == tokens:
        return None
    return torch.rand(batch, tokens, generator=rng, device=rng.device).argsort(dim=1)[:, :kept].to(device)


# ---- layers -----------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Pre-norm transformer block: RMSNorm, attention with RoPE; RMSNorm, SwiGLU (Sec. 4)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = rms_norm(width), rms_norm(width)
        self.attn = Attention(width, heads)
        self.mlp = SwiGLU(width, 8 * width // 3)  # int(2/3 * 4 D), as LLaMA

    def forward(self, x: Tensor, rope: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x), rope=rope)
        return x + self.mlp(self.norm2(x))


def rms_norm(width: int) -> nn.RMSNorm:
    return nn.RMSNorm(width, eps=1e-6)


class Transformer(nn.Module):
    """What encoder and decoder share: learned and rotary positions, and the blocks between two norms."""

    def __init__(self, size: TransformerSize, grid: int):
        super().__init__()
        width, heads = size["width"], size["heads"]
        self.positional_embedding = nn.Parameter(torch.empty(1, grid * grid, width))
        self.ln_pre, self.ln_post = rms_norm(width), rms_norm(width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(size["blocks"]))
        self.register_buffer("rope", detok_rope_table(width // heads, grid), persistent=False)  # (N, 2d)

    def transform(self, x: Tensor, rope: Tensor) -> Tensor:
        x = self.ln_pre(x)
        for block in self.blocks:
            x = block(x, rope)
        return self.ln_post(x)


class Encoder(Transformer):
    """Images (B, 3, S, S) -> moments (B, K, 2C) of the visible patches (all of them if `kept` is None)."""

    def __init__(self, size: TransformerSize, grid: int, patch_size: int, latent_channels: int):
        super().__init__(size, grid)
        self.patch_embed = nn.Conv2d(3, size["width"], patch_size, stride=patch_size)
        self.latent_head = nn.Linear(size["width"], 2 * latent_channels)

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        x = self.patch_embed(images).flatten(2).transpose(1, 2) + self.positional_embedding  # (B, N, D)
        rope = self.rope
        if kept is not None:
            x = x.flatten(0, 1)[flat_positions(kept, len(rope))].unflatten(0, kept.shape)  # (B, K, D)
            rope = rope[kept]  # (B, K, 2d): each image's own positions
        return self.latent_head(self.transform(x, rope))


class Decoder(Transformer):
    """Latents (B, K, C) -> images (B, 3, S, S), with mask tokens at the positions that `kept` leaves out."""

    def __init__(self, size: TransformerSize, grid: int, patch_size: int, latent_channels: int):
        super().__init__(size, grid)
        self.patch_size = patch_size
        self.mask_token = nn.Parameter(torch.empty(1, 1, size["width"]))
        self.decoder_embed = nn.Linear(latent_channels, size["width"])
        self.head = nn.Conv2d(size["width"], 3 * patch_size**2, 1)
        self.conv_out = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, z: Tensor, kept: Tensor | None = None) -> Tensor:
        x, tokens = self.decoder_embed(z), len(self.rope)
        if kept is None:
            x = x + (self.positional_embedding + 0 * self.mask_token)  # a zero gradient, so that every step has one
        else:
            masked = self.mask_token.expand(len(x), tokens, -1).flatten(0, 1)  # (B * N, D)
            x = masked.index_copy(0, flat_positions(kept, tokens), x.flatten(0, 1).type_as(masked))
            x = x.unflatten(0, (-1, tokens))
            x = x + self.positional_embedding
        x = self.transform(x, self.rope)  # (B, N, D)
        grid, patch = math.isqrt(tokens), self.patch_size
        x = F.linear(x, self.head.weight.flatten(1), self.head.bias)  # the 1x1 convolution; channels (p1, p2, rgb)
        x = x.unflatten(2, (patch, patch, 3)).unflatten(1, (grid, grid)).transpose(2, 3)  # (B, G, p1, G, p2, 3)
        x = x.reshape(len(x), grid * patch, grid * patch, 3).permute(0, 3, 1, 2)
        return self.conv_out(x)  # channels last in memory, which convolutions of 3 channels like


def flat_positions(kept: Tensor, tokens: int) -> Tensor:
    """Positions (B, K) within each image -> positions (B * K,) in the flattened (B * N) batch."""
    return (kept + tokens * torch.arange(len(kept), device=kept.device)[:, None]).flatten()


# ---- the model --------------------------------------------------------------------------------------------------


class DeTok(nn.Module):
    """The latent denoising tokenizer. `forward` is the corrupted path, `encode` and `decode` are the clean ones.

    `discriminator` is built only if `gan_start_step` is given; its parameters start with "discriminator." and are no
    part of the tokenizer. The frozen networks of the perceptual loss are in no state dict and are read at first use.
    """

    TRAINING_ONLY = ("discriminator.",)

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        latent_channels: int,
        encoder: TransformerSize,
        decoder: TransformerSize,
        noise: Literal["interpolative", "additive"],
        gamma: float,
        mask_ratio: float,
        mask_mode: Literal["random", "constant"],
        perceptual: Literal["lpips+convnext", "lite2", "none"],
        loss_weights: LossWeights,
        gan_start_step: int | None,
        discriminator: DiscriminatorSize | None,
    ):
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"image side {image_size} is not divisible by patch side {patch_size}")
        if noise not in NOISES or mask_mode not in ("random", "constant"):
            raise ValueError(f"unknown noise {noise!r} or mask mode {mask_mode!r}")
        if gamma < 0 or not 0 <= mask_ratio < 1:
            raise ValueError(f"gamma {gamma} must not be negative, mask ratio {mask_ratio} must be in [0, 1)")
        if gan_start_step is not None and discriminator is None:
            raise ValueError("a GAN start step needs the size of a discriminator")
        grid = image_size // patch_size
        self.tokens, self.latent_channels = grid * grid, latent_channels
        self.noise, self.gamma = NOISES[noise], gamma
        self.mask_ratio, self.mask_mode = mask_ratio, mask_mode
        self.loss_weights, self.gan_start_step = dict(loss_weights), gan_start_step
        self.perceptual_loss = perceptual_loss(perceptual, loss_weights["perceptual"])
        self.encoder = Encoder(encoder, grid, patch_size, latent_channels)
        self.decoder = Decoder(decoder, grid, patch_size, latent_channels)
        self.init_weights()
        if gan_start_step is not None:
            self.discriminator = PatchDiscriminator(**discriminator)  # keeps PyTorch's initialisation

    def init_weights(self) -> None:
        """Truncated normal of std 0.02 and zero biases; positions and mask token N(0, 1/D) (official code)."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        for free in (self.encoder.positional_embedding, self.decoder.positional_embedding, self.decoder.mask_token):
            nn.init.normal_(free, std=free.shape[-1] ** -0.5)

    def forward(self, images: Tensor, rng: torch.Generator | None = None) -> Reconstruction:
        """Images (B, 3, S, S) in [-1, 1] -> reconstruction. In eval mode nothing is masked, sampled or noised."""
        if not self.training:
            posterior = self.posterior(images)
            return Reconstruction(self.decoder(posterior.mode()), posterior)
        ratio = draw_mask_ratio(self.mask_ratio, rng) if self.mask_mode == "random" else self.mask_ratio
        kept = draw_visible(len(images), self.tokens, ratio, rng, images.device)  # (B, K)            Eq. 5
        posterior = GaussianPosterior.from_moments(self.encoder(images, kept))  # (B, K, C)
        z = posterior.sample(rng)
        if self.gamma > 0:
            z = self.noise(z, *draw_noise(z.shape, self.gamma, rng, z.device))  # (B, K, C)           Eq. 4
        return Reconstruction(self.decoder(z, kept), posterior)

    def posterior(self, images: Tensor) -> GaussianPosterior:
        """Images (B, 3, S, S) in [-1, 1] -> posterior of all N tokens, (B, N, C)."""
        return GaussianPosterior.from_moments(self.encoder(images))

    def encode(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> tokens (B, N, C): posterior means, or a sample if `rng` is given."""
        posterior = self.posterior(images)
        return posterior.mode() if rng is None else posterior.sample(rng)

    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, C), not standardised -> images (B, 3, S, S), about [-1, 1], not clamped."""
        return self.decoder(tokens)

    def losses(self, batch: dict, step: int, rng: torch.Generator) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Eq. 6: weighted terms of the autoencoder's update, then, once the GAN is on, of the discriminator's.

        The first group must have been stepped before the second is asked for. "perceptual" and "gan" are there only
        while they are on. batch["images"] (B, 3, S, S) in [-1, 1]; losses are float32 on [0, 1] (official code).
        """
        images = batch["images"]
        output = self(images, rng)
        adversarial = self.gan_start_step is not None and step >= self.gan_start_step
        weights, full_precision = self.loss_weights, torch.autocast(images.device.type, enabled=False)
        target, prediction = images.float(), output.images.float()
        real, fake = target * 0.5 + 0.5, prediction * 0.5 + 0.5
        with full_precision:
            terms = {"mse": weights["mse"] * F.mse_loss(fake, real), "kl": weights["kl"] * output.posterior.kl().mean()}
            if self.perceptual_loss is not None:
                terms["perceptual"] = weights["perceptual"] * self.perceptual_loss(target, prediction)
            if adversarial:
                terms["gan"] = weights["gan"] * generator_loss(self.discriminator, fake)
        yield "autoencoder", terms
        if adversarial:
            with full_precision:
                hinge = discriminator_loss(self.discriminator, real, fake)
            yield "discriminator", {"hinge": hinge}

    def freeze_encoder(self) -> None:
        """Leave only the decoder to train (Sec. A.1, decoder fine-tuning). The posterior is still sampled."""
        self.encoder.requires_grad_(False)

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Trainable parameters of each optimizer: "autoencoder", and "discriminator" where there is one."""
        return adversarial_groups(self)

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Biases, gains, embeddings of patches, latents and positions, and the mask token (official code)."""
        return parameter.ndim < 2 or "embed" in name or "token" in name


def build(spec: dict) -> DeTok:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of DeTok."""
    return DeTok(**spec)


# ---- Figure A.2 --------------------------------------------------------------------------------------------------


@torch.no_grad()
def mask_sweep(model: DeTok, images: Tensor, ratios: list[float], seed: int) -> Tensor:
    """Fig. A.2: images (B, 3, S, S), encoded from their visible patches at each ratio and decoded from the posterior
    means -> (R, B, 3, S, S).

    Image i draws one random order of its patches, from a generator of seed + i, and a higher ratio hides more of it.
    """
    # DEPARTS: the official notebook draws other patches for every ratio and model; here all see the same nested masks.
    generators = [torch.Generator().manual_seed(seed + i) for i in range(len(images))]
    order = torch.stack([torch.randperm(model.tokens, generator=rng) for rng in generators]).to(images.device)
    rebuilt = []
    for ratio in ratios:
        kept = order[:, : visible_tokens(model.tokens, ratio)]
        rebuilt.append(model.decoder(GaussianPosterior.from_moments(model.encoder(images, kept)).mode(), kept))
    return torch.stack(rebuilt)
