"""MAETok (arXiv 2502.03444), Sec. 3: a masked autoencoder with one-dimensional latent tokens.

A ViT reads image patches, part of them hidden in training, together with learned latent tokens; what these become is
the latent, without KL term or codebook. A second ViT turns mask tokens and latents into pixels. Shallow auxiliary
decoders predict HOG and features of frozen networks at the hidden patches; they exist in training only. The layout is
that of the official code (decoder blocks modulated by the latents, learned RoPE frequencies), which the paper does not
print.

Shapes: B images, S image side, P patch side, G = S / P, N = G * G patches, L latent tokens, C latent channels, D width,
H heads, d = D / H.
"""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypedDict

import torch
from timm.layers import LayerScale
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.losses.adversarial import (
    DiscriminatorSize,
    PatchDiscriminator,
    adversarial_groups,
    balanced_generator_loss,
    discriminator_loss,
)
from tesserae.losses.auxiliary import CHANNELS, auxiliary_loss
from tesserae.losses.perceptual import perceptual_loss
from tesserae.nn.attention import Attention
from tesserae.nn.feedforward import MLP
from tesserae.nn.sizes import TransformerSize
from tesserae.quantizers.gaussian import LOGVAR_MIN, GaussianPosterior

MASK_STD = 0.25  # of the normal distribution whose part below its mean gives the masking ratio (official code)
ROPE_BASE = 10.0  # official training settings
LAYER_SCALE = 1e-5  # of the plain blocks, as DINOv2 (official code)


class AuxiliaryDecoder(TransformerSize):
    target: Literal["hog", "lite2", "embedded", "dinov2", "clip"]


class LossWeights(TypedDict):
    mse: float
    perceptual: float
    gan: float
    auxiliary: float  # of each target


class Reconstruction(NamedTuple):
    images: Tensor  # (B, 3, S, S), about [-1, 1], not clamped
    tokens: Tensor  # (B, L, C)
    hidden: Tensor | None  # bool (B, N): patches that the encoder did not see


# ---- masking and positions --------------------------------------------------------------------------------------


def draw_mask_ratio(smallest: float, largest: float, rng: torch.Generator) -> float:
    """One ratio per batch: normal(largest, 0.25) between both bounds (official code; the paper: 40-60 %)."""
    low = torch.special.ndtr(torch.tensor((smallest - largest) / MASK_STD))
    u = torch.rand((), generator=rng, device=rng.device).cpu()
    ratio = largest + MASK_STD * torch.special.ndtri(low + u * (0.5 - low))
    return ratio.clamp(smallest, largest).item()


def draw_hidden(batch: int, patches: int, ratio: float, rng: torch.Generator, device: torch.device) -> Tensor:
    """Which ceil(N ratio) patches of each image are hidden: bool (B, N), each image its own."""
    ranks = torch.rand(batch, patches, generator=rng, device=rng.device).argsort(dim=1).argsort(dim=1)
    return (ranks < math.ceil(patches * ratio)).to(device)


def random_frequencies(blocks: int, heads: int, head_dim: int) -> Tensor:
    """Initial frequencies (2, blocks, D / 2) of RoPE-Mixed (arXiv 2403.13298, Sec. 3.2), for columns and rows.

    Each head of each block has d / 4 magnitudes 10^(-4i/d) along a random direction and again across it.
    """
    if head_dim % 4:
        raise ValueError(f"head dim {head_dim} is not a multiple of 4 (two directions, each with pairs of channels)")
    magnitudes = ROPE_BASE ** (-torch.arange(0, head_dim, 4) / head_dim)
    angles = 2 * math.pi * torch.rand(blocks, heads, 1)
    directions = torch.cat([angles + 0 * magnitudes, angles + math.pi / 2 + 0 * magnitudes], dim=2)
    return (torch.stack([directions.cos(), directions.sin()]) * magnitudes.repeat(2)).flatten(2)


# ---- layers -----------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Pre-norm ViT block with layer scale. The latents are not used."""

    def __init__(self, width: int, heads: int, latent_channels: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.mlp = Attention(width, heads), MLP(width, 4 * width)
        self.ls1, self.ls2 = LayerScale(width, LAYER_SCALE), LayerScale(width, LAYER_SCALE)

    def forward(self, x: Tensor, rope: Tensor, latents: Tensor | None) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x), rope=rope))
        return x + self.ls2(self.mlp(self.norm2(x)))


class LatentModulatedBlock(nn.Module):
    """Pre-norm block without layer scale; the norms of the last L positions are scaled and shifted by the latents."""

    def __init__(self, width: int, heads: int, latent_channels: int):
        super().__init__()
        self.norm1, self.norm2 = bare_norm(width), bare_norm(width)
        self.attn, self.mlp = Attention(width, heads), MLP(width, 4 * width)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(latent_channels, 4 * width))

    def forward(self, x: Tensor, rope: Tensor, latents: Tensor) -> Tensor:
        shift1, scale1, shift2, scale2 = self.adaLN_modulation(latents).chunk(4, dim=-1)
        x = x + self.attn(modulate_last(self.norm1(x), shift1, scale1), rope=rope)
        return x + self.mlp(modulate_last(self.norm2(x), shift2, scale2))


def bare_norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)


def modulate_last(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x scale + shift at the last L of x's positions (B, T, D): scale itself, not 1 + scale (official code)."""
    first, last = x.split([x.shape[1] - shift.shape[1], shift.shape[1]], dim=1)
    return torch.cat([first, torch.addcmul(shift, last, scale)], dim=1)


class Transformer(nn.Module):
    """What encoder and decoders share: blocks, and rotary positions of the patches in a sequence of T tokens.

    `before` and L tokens stand before and after the N patches and are not rotated.
    """

    def __init__(
        self, size: TransformerSize, grid: int, before: int, latent_tokens: int, latent_channels: int, block: type
    ):
        super().__init__()
        width, heads = size["width"], size["heads"]
        self.heads, self.patches, self.latents = heads, grid * grid, latent_tokens
        self.freqs = nn.Parameter(random_frequencies(size["blocks"], heads, width // heads))
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.latent_pos_embed = nn.Parameter(torch.empty(1, latent_tokens, width))
        self.blocks = nn.ModuleList(block(width, heads, latent_channels) for _ in range(size["blocks"]))
        places = torch.arange(grid, dtype=torch.float32)
        places = torch.stack([places.repeat(grid), places.repeat_interleave(grid)])  # columns and rows, (2, N)
        self.register_buffer("places", F.pad(places, (before, latent_tokens)), persistent=False)  # (2, T)
        self.init_blocks()

    def init_blocks(self) -> None:
        """Linear layers of blocks: truncated normal of std 0.02, biases 0; their modulations 0 (official code)."""
        nn.init.normal_(self.mask_token, std=0.02)
        nn.init.trunc_normal_(self.latent_pos_embed, std=0.02)
        for name, module in self.blocks.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
                if "adaLN" in name:
                    nn.init.zeros_(module.weight)
                else:
                    nn.init.trunc_normal_(module.weight, std=0.02)

    def rope_tables(self) -> Tensor:
        """Tables for `apply_rope`, one per block and head: (blocks, 1, H, T, 2d)."""
        columns, rows = self.places[:, None, None, :, None]
        across, down = self.freqs.unflatten(2, (self.heads, 1, -1))  # (blocks, H, 1, d / 2)
        angles = (columns * across + rows * down).repeat_interleave(2, dim=-1)
        return torch.cat([angles.cos(), angles.sin()], dim=-1).unsqueeze(1)

    def transform(self, x: Tensor, latents: Tensor | None = None) -> Tensor:
        for block, rope in zip(self.blocks, self.rope_tables(), strict=True):
            x = block(x, rope, latents)
        return x


class Encoder(Transformer):
    """Images (B, 3, S, S) -> tokens (B, L, C). Patches in `hidden`, bool (B, N), become mask tokens."""

    def __init__(self, size: TransformerSize, grid: int, patch_size: int, latent_tokens: int, latent_channels: int):
        super().__init__(size, grid, 1, latent_tokens, latent_channels, Block)
        width = size["width"]
        self.patch_embed = nn.Conv2d(3, width, patch_size, stride=patch_size)
        self.cls_token = nn.Parameter(1e-6 * torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1 + grid * grid, width), std=0.02))
        self.latent_tokens = nn.Parameter(0.02 * torch.randn(1, latent_tokens, width))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, latent_channels)

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        x = self.patch_embed(images).flatten(2).transpose(1, 2)  # (B, N, D)
        masked = torch.zeros(1, 1, dtype=bool, device=x.device) if hidden is None else hidden
        x = torch.where(masked.unsqueeze(2), self.mask_token, x)  # the mask token has a gradient at every step
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self.pos_embed
        latents = (self.latent_tokens + self.latent_pos_embed).expand(len(x), -1, -1)
        x = self.transform(torch.cat([x, latents], dim=1))
        return self.head(self.norm(x[:, -self.latents :]))


class Decoder(Transformer):
    """Tokens (B, L, C) -> (B, N, out), one vector per patch."""

    # DEPARTS: the official auxiliary decoders have a class token, which nothing reads; ours have none, like the pixel
    # decoder. DECISION: drop path 0: the official settings say 0.05, their training script does not pass it on.
    def __init__(
        self, size: TransformerSize, grid: int, latent_tokens: int, latent_channels: int, out: int, modulated: bool
    ):
        block = LatentModulatedBlock if modulated else Block
        super().__init__(size, grid, 0, latent_tokens, latent_channels, block)
        width = size["width"]
        self.embed = nn.Linear(latent_channels, width)
        self.norm = bare_norm(width) if modulated else nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, out)

    def forward(self, tokens: Tensor) -> Tensor:
        masks = self.mask_token.expand(len(tokens), self.patches, -1)
        x = self.transform(torch.cat([masks, self.embed(tokens) + self.latent_pos_embed], dim=1), tokens)
        return self.head(self.norm(x[:, : self.patches]))


# ---- the model --------------------------------------------------------------------------------------------------


class MAETok(nn.Module):
    """The masked autoencoder. `forward` masks in training; `encode` and `decode` never do.

    `discriminator` is built only if `gan_start_step` is given. The frozen networks of the perceptual loss and of the
    auxiliary targets are in no state dict and are read at first use.
    """

    TRAINING_ONLY = ("discriminator.", "auxiliary.")  # prefixes of parameters that are not part of the tokenizer

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        latent_tokens: int,
        latent_channels: int,
        encoder: TransformerSize,
        decoder: TransformerSize,
        modulated_decoder: bool,
        auxiliary: list[AuxiliaryDecoder],
        mask_ratio_min: float,
        mask_ratio_max: float,
        perceptual: Literal["lpips", "lite2", "none"],
        loss_weights: LossWeights,
        gan_start_step: int | None,
        discriminator: DiscriminatorSize | None,
        adaptive_gan: bool,
    ):
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"image side {image_size} is not divisible by patch side {patch_size}")
        if not 0 <= mask_ratio_min <= mask_ratio_max < 1:
            raise ValueError(f"mask ratios must be 0 <= {mask_ratio_min} <= {mask_ratio_max} < 1")
        targets = [part["target"] for part in auxiliary]
        if unknown := [name for name in targets if name not in CHANNELS or targets.count(name) > 1]:
            raise ValueError(f"auxiliary targets {unknown} are unknown or given twice; there are {', '.join(CHANNELS)}")
        if gan_start_step is not None and discriminator is None:
            raise ValueError("a GAN start step needs the size of a discriminator")
        grid = image_size // patch_size
        self.grid, self.patch_size = grid, patch_size
        self.tokens, self.latent_channels = latent_tokens, latent_channels
        self.mask_ratios = mask_ratio_min, mask_ratio_max
        self.loss_weights, self.gan_start_step, self.adaptive_gan = dict(loss_weights), gan_start_step, adaptive_gan
        self.decoder_only = False
        self.perceptual_loss = perceptual_loss(perceptual, loss_weights["perceptual"])
        self.encoder = Encoder(encoder, grid, patch_size, latent_tokens, latent_channels)
        shape = grid, latent_tokens, latent_channels
        self.decoder = Decoder(decoder, *shape, 3 * patch_size**2, modulated_decoder)
        self.auxiliary = nn.ModuleDict(
            {part["target"]: Decoder(part, *shape, CHANNELS[part["target"]], True) for part in auxiliary}
        )
        if gan_start_step is not None:
            self.discriminator = PatchDiscriminator(**discriminator)

    def forward(self, images: Tensor, rng: torch.Generator | None = None) -> Reconstruction:
        """Images (B, 3, S, S) in [-1, 1] -> reconstruction. Nothing is hidden in eval mode or of a frozen encoder."""
        hidden = None
        if self.training and not self.decoder_only and self.mask_ratios[1] > 0:
            ratio = draw_mask_ratio(*self.mask_ratios, rng)
            hidden = draw_hidden(len(images), self.grid**2, ratio, rng, images.device)
        tokens = self.encoder(images, hidden)
        return Reconstruction(self.decode(tokens), tokens, hidden)

    def posterior(self, images: Tensor) -> GaussianPosterior:
        """Images (B, 3, S, S) in [-1, 1] -> posterior (B, L, C) of no width: the tokens are deterministic.

        The log-variance is at its lower clamp, -30: a sample differs from the mean by about 3e-7.
        """
        tokens = self.encoder(images)
        return GaussianPosterior(tokens, torch.full_like(tokens, LOGVAR_MIN))

    def encode(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> tokens (B, L, C). There is nothing to sample: `rng` is not used."""
        return self.posterior(images).mode()

    def decode(self, tokens: Tensor) -> Tensor:
        """Tokens (B, L, C), not standardised -> images (B, 3, S, S), about [-1, 1], not clamped."""
        grid, patch = self.grid, self.patch_size
        x = self.decoder(tokens).unflatten(2, (patch, patch, 3)).unflatten(1, (grid, grid))  # (B, G, G, p1, p2, 3)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(len(x), 3, grid * patch, grid * patch)

    def losses(self, batch: dict, step: int, rng: torch.Generator) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Weighted terms of the autoencoder's update, then, once the GAN is on, of the discriminator's.

        The first group must have been stepped before the second is asked for. batch["images"] (B, 3, S, S) in [-1, 1];
        the squared error is on that range and losses are float32. Auxiliary terms count the hidden patches, or all
        where none is hidden; there are none when the decoder is trained alone.
        """
        # DEPARTS: the official training ramps LPIPS up over 10,000 steps, and has a discriminator on frozen DINO
        # features with augmentations, a consistency and a LeCam term. Here LPIPS is on from the start and the
        # discriminator is the PatchGAN of the other tokenizers, with the official adaptive weight.
        images = batch["images"]
        output = self(images, rng)
        adversarial = self.gan_start_step is not None and step >= self.gan_start_step
        weights, full_precision = self.loss_weights, torch.autocast(images.device.type, enabled=False)
        predictions = {} if self.decoder_only else {name: net(output.tokens) for name, net in self.auxiliary.items()}
        real, fake = images.float(), output.images.float()
        counted = torch.ones(len(images), self.grid**2, dtype=bool, device=images.device)
        counted = counted if output.hidden is None else output.hidden
        with full_precision:
            terms = {"mse": weights["mse"] * F.mse_loss(fake, real)}
            if self.perceptual_loss is not None:
                terms["perceptual"] = weights["perceptual"] * self.perceptual_loss(real, fake)
            if adversarial:
                last = self.decoder.head.weight if self.adaptive_gan else None
                gan = balanced_generator_loss(self.discriminator, fake, sum(terms.values()), last)
                terms["gan"] = weights["gan"] * gan
            for name, prediction in predictions.items():
                terms[name] = weights["auxiliary"] * auxiliary_loss(name, prediction, real, counted)
        yield "autoencoder", terms
        if adversarial:
            with full_precision:
                hinge = discriminator_loss(self.discriminator, real, fake)
            yield "discriminator", {"hinge": hinge}

    def freeze_encoder(self) -> None:
        """Leave only the pixel decoder to train, on the tokens of whole images."""
        # DECISION: the paper fine-tunes its pixel decoder on a frozen encoder; the official code has no such stage, so
        # that nothing is hidden in it is ours.
        self.encoder.requires_grad_(False)
        self.auxiliary.requires_grad_(False)
        self.decoder_only = True

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Trainable parameters of each optimizer: "autoencoder", and "discriminator" where there is one."""
        return adversarial_groups(self)

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Biases and gains (official code)."""
        return parameter.ndim < 2


def build(spec: dict) -> MAETok:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of MAETok."""
    return MAETok(**spec)
