"""Hita ("Holistic Tokenizer for Autoregressive Image Generation", arXiv 2507.02358), in its first version, Hita-V.

Holistic tokens stand before the patches of a convolutional autoencoder. Learned carriers collect them from the patches
and from what a frozen network says of the image; a second stack, causal like the generator that is to learn the codes,
makes each patch follow from the holistic tokens and the patches before it. Each kind has a codebook of its own. The
decoder is causal as well. Layers, numbers and losses are those of the official code (CVMI-Lab/Hita), which names the
holistic tokens slots. Left out: Hita-U's reconstruction of the frozen features, and other sizes than the trained one.

Shapes: B images of side S in [-1, 1], G x G = M patches in raster order, k holistic tokens, D width, d width of a code,
T tokens of the frozen network and F their channels, K entries of each codebook.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.encoders.image_tokens import CHANNELS, image_tokens
from tesserae.losses.adversarial import (
    DiscriminatorSize,
    PatchDiscriminator,
    adversarial_groups,
    discriminator_loss,
    init_pix2pix,
)
from tesserae.losses.non_saturating import generator_loss
from tesserae.losses.perceptual import perceptual_loss
from tesserae.nn.attention import attend
from tesserae.nn.clip_blocks import learned
from tesserae.nn.conv_autoencoder import ConvDecoder, ConvEncoder
from tesserae.nn.feedforward import SwiGLU
from tesserae.nn.positions import placed
from tesserae.nn.sizes import TransformerSize
from tesserae.quantizers.vector import Quantized, VectorQuantizer, codebook_health, nearest

UNDECAYED = ("_tokens", "_embed", "_embedding", "embedding.weight")


class ConvSize(TypedDict):
    channels: int
    multipliers: Sequence[int]
    res_blocks: int


class LossWeights(TypedDict):
    reconstruction: float
    perceptual: float
    quantizer: float
    gan: float


class Latents(NamedTuple):
    """Tokens of both kinds, as the encoder makes them or as the decoder reads them."""

    holistic: Tensor  # (B, k, ...)
    patches: Tensor  # (B, M, ...)


class Reconstruction(NamedTuple):
    images: Tensor  # (B, 3, S, S), about [-1, 1], not clamped
    holistic: Quantized
    patches: Quantized


# ---- layers -----------------------------------------------------------------------------------------------------


class SelfAttention(nn.Module):
    """(B, N, D) -> the same. The official code has two kinds, which differ in biases and in where they drop."""

    def __init__(self, width: int, heads: int, *, causal: bool, dropout: float):
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is not divisible by {heads} heads")
        self.heads, self.causal = heads, causal
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width, bias=causal) for _ in range(3))
        self.out_proj = nn.Linear(width, width)
        self.attention_dropout = dropout if causal else 0.0
        self.output_drop = nn.Dropout(0.0 if causal else dropout)

    def forward(self, x: Tensor) -> Tensor:
        projected = (layer(x) for layer in (self.q_proj, self.k_proj, self.v_proj))
        q, k, v = (each.unflatten(2, (self.heads, -1)).transpose(1, 2) for each in projected)  # (B, H, N, D / H)
        dropout = self.attention_dropout if self.training else 0.0
        seen = attend(q, k, v, causal=self.causal, dropout=dropout)
        return self.output_drop(self.out_proj(seen.transpose(1, 2).flatten(2)))


class Layer(nn.Module):
    """Pre-norm transformer layer on (B, N, D)."""

    def __init__(self, width: int, heads: int, *, causal: bool, dropout: float):
        super().__init__()
        hidden = (4 * width * 2 // 3 + 7) // 8 * 8  # official code: two thirds, to the next multiple of 8
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.mlp = SelfAttention(width, heads, causal=causal, dropout=dropout), SwiGLU(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def stack(size: TransformerSize, *, causal: bool, dropout: float) -> nn.ModuleList:
    """As many layers as a size says."""
    layers = (Layer(size["width"], size["heads"], causal=causal, dropout=dropout) for _ in range(size["blocks"]))
    return nn.ModuleList(layers)


class HolisticEncoder(nn.Module):
    """Patches and frozen tokens -> holistic tokens and patches, by two stacks."""

    def __init__(self, size: TransformerSize, patches: int, holistic_tokens: int, channels: int, dropout: float):
        super().__init__()
        width = size["width"]
        self.carrier_tokens, self.pos_embed = learned(1, holistic_tokens, width), learned(1, patches, width)
        self.proj = nn.Sequential(
            nn.Linear(channels, width, bias=False),
            nn.LayerNorm(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.LayerNorm(width),
        )
        self.norm_pre1, self.norm_pre2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer1 = stack(size, causal=False, dropout=dropout)
        self.transformer2 = stack(size, causal=True, dropout=dropout)

    def forward(self, patches: Tensor, frozen: Tensor) -> Latents:
        """(B, M, D) and (B, T, F)."""
        carriers, told = self.carrier_tokens.expand(len(patches), -1, -1), self.proj(frozen)
        k, read = carriers.shape[1], carriers.shape[1] + told.shape[1]
        x = self.norm_pre1(torch.cat([carriers, told, patches + self.pos_embed], dim=1))
        for layer in self.transformer1:
            x = layer(x)
        x = self.norm_pre2(torch.cat([x[:, :k], x[:, read:]], dim=1))
        for layer in self.transformer2:
            x = layer(x)
        return Latents(x[:, :k], x[:, k:])


class HolisticDecoder(nn.Module):
    """Embeddings of both kinds -> patches for the convolutions, by a causal stack.

    A patch is read `shift` tokens before its own: it follows from the holistic tokens and the patches up to the
    `shift`-th before it, and what the last `shift` codes of an image are has no effect.
    """

    def __init__(self, size: TransformerSize, patches: int, holistic_tokens: int, shift: int, dropout: float):
        super().__init__()
        width, self.shift = size["width"], shift
        self.slot_position_embedding = learned(1, holistic_tokens, width)
        self.position_embedding = learned(1, patches, width)
        self.norm = nn.LayerNorm(width)
        self.transformer = stack(size, causal=True, dropout=dropout)
        for layer in self.transformer.modules():
            if isinstance(layer, nn.Linear):  # the encoder's keep PyTorch's first weights (official code)
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, embeddings: Latents) -> Tensor:
        """(B, k, D) and (B, M, D) -> (B, M, D)."""
        k, patches = embeddings.holistic.shape[1], embeddings.patches.shape[1]
        holistic = embeddings.holistic + self.slot_position_embedding
        x = self.norm(torch.cat([holistic, embeddings.patches + self.position_embedding], dim=1))
        for layer in self.transformer:
            x = layer(x)
        return x[:, k - self.shift : k - self.shift + patches]


# ---- the model --------------------------------------------------------------------------------------------------


class Hita(nn.Module):
    """The tokenizer and its losses. `forward` is the training path, `encode` and `decode` are what others use.

    An image's codes are its k holistic ones, then those of its patches; both kinds are numbers below K, and where a
    code stands says of which codebook it is. `discriminator` is there only with a `gan_start_step`. The frozen network
    that the encoder reads is in no state dict and is read at first use, as is that of the perceptual loss.
    """

    TRAINING_ONLY = ("discriminator.",)  # parameters that are not part of the tokenizer

    def __init__(
        self,
        *,
        image_size: int,
        network: ConvSize,
        holistic_tokens: int,
        shift: int,
        codebook_size: int,
        patch_code_width: int,
        holistic_code_width: int,
        encoder: TransformerSize,  # its blocks are those of each stack
        decoder: TransformerSize,
        foundation: Literal["dinov2_registers", "lite2"],
        dropout: float,
        commitment: float,
        perceptual: Literal["lpips", "lite2", "none"],
        loss_weights: LossWeights,
        gan_start_step: int | None,
        discriminator: DiscriminatorSize | None,
    ):
        super().__init__()
        pixels = 2 ** (len(network["multipliers"]) - 1)
        if image_size % pixels:
            raise ValueError(f"image side {image_size} is not divisible by the {pixels} pixels of a patch's side")
        if encoder["width"] != decoder["width"]:
            raise ValueError(f"an encoder of width {encoder['width']} needs a decoder of it, not {decoder['width']}")
        if holistic_tokens < 1 or not 0 <= shift <= holistic_tokens:
            raise ValueError(
                f"shift: patches cannot be read {shift} tokens early behind {holistic_tokens} holistic ones"
            )
        if foundation not in CHANNELS:
            raise ValueError(f"unknown foundation {foundation!r}, and not one of {', '.join(CHANNELS)}")
        if gan_start_step is not None and discriminator is None:
            raise ValueError("a GAN start step needs the size of a discriminator")
        self.grid, self.vocabulary, self.holistic_tokens = image_size // pixels, codebook_size, holistic_tokens
        patches, width = self.grid**2, encoder["width"]
        self.tokens = holistic_tokens + patches
        self.commitment, self.loss_weights, self.gan_start_step = commitment, dict(loss_weights), gan_start_step
        self.perceptual_loss = perceptual_loss(perceptual, loss_weights["perceptual"])
        self.image_tokens: Callable[[Tensor], Tensor] = functools.partial(image_tokens, foundation)
        convolutions = network["channels"], network["multipliers"], network["res_blocks"], width
        self.encoder, self.decoder = ConvEncoder(*convolutions, True), ConvDecoder(*convolutions, True)
        self.encode_transformer = HolisticEncoder(encoder, patches, holistic_tokens, CHANNELS[foundation], dropout)
        self.decode_transformer = HolisticDecoder(decoder, patches, holistic_tokens, shift, dropout)
        self.quant_conv = nn.Conv2d(width, patch_code_width, 1)
        self.post_quant_conv = nn.Conv2d(patch_code_width, width, 1)
        self.pre_slots_quant = nn.Linear(width, holistic_code_width)
        self.post_slots_quant = nn.Linear(holistic_code_width, width)
        self.quantize = VectorQuantizer(codebook_size, patch_code_width, clustering=False, l2=True)
        self.slot_quantize = VectorQuantizer(codebook_size, holistic_code_width, clustering=False, l2=True)
        with torch.no_grad():
            for codebook in (self.quantize, self.slot_quantize):
                codebook.embedding.weight.copy_(codebook.entries())  # they begin with unit length
        if gan_start_step is not None:
            self.discriminator = PatchDiscriminator(**discriminator)
            init_pix2pix(self.discriminator)

    @torch.no_grad()
    def place_tokens(self) -> None:
        """Positions of patches start as those of a grid."""
        for positions in (self.encode_transformer.pos_embed, self.decode_transformer.position_embedding):
            width = positions.shape[2]
            positions.copy_(width**-0.5 * placed(width, self.grid**2))

    # ---- use ----------------------------------------------------------------------------------------------------

    def latents(self, images: Tensor) -> Latents:
        """Images (B, 3, S, S) in [-1, 1] -> vectors of both code widths, whose directions are to be quantised."""
        found = self.encode_transformer(_rows(self.encoder(images)), self.image_tokens(images))
        return Latents(self.pre_slots_quant(found.holistic), _rows(self.quant_conv(self._map(found.patches))))

    def encode(self, images: Tensor, *, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> codes int64 (B, k + M). `rng` is not used."""
        pairs = zip(self.latents(images), (self.slot_quantize, self.quantize), strict=True)
        return torch.cat([nearest(F.normalize(x.float(), dim=2), of.entries()) for x, of in pairs], dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, k + M) -> images (B, 3, S, S), about [-1, 1], not clamped.

        Raises ValueError for rows of another length.
        """
        if codes.shape[1] != self.tokens:
            raise ValueError(
                f"rows of {codes.shape[1]} codes, and this tokenizer reads {self.tokens} (image_size, network and "
                "holistic_tokens of its recipe): give it the codes of its own recipe"
            )
        holistic, patches = codes[:, : self.holistic_tokens], codes[:, self.holistic_tokens :]
        return self.decode_entries(Latents(self.slot_quantize.lookup(holistic), self.quantize.lookup(patches)))

    def decode_entries(self, entries: Latents) -> Tensor:
        """Entries of the codebooks (B, k, d), (B, M, d) -> images (B, 3, S, S)."""
        patches = _rows(self.post_quant_conv(self._map(entries.patches)))
        embeddings = Latents(self.post_slots_quant(entries.holistic), patches)
        return self.decoder(self._map(self.decode_transformer(embeddings)))

    def _map(self, patches: Tensor) -> Tensor:
        """(B, M, C) -> (B, C, G, G)."""
        return patches.transpose(1, 2).unflatten(2, (self.grid, self.grid))

    # ---- training -----------------------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> Reconstruction:
        """Images (B, 3, S, S) in [-1, 1] -> reconstruction; the decoder's gradient goes straight to the encoder."""
        # DEPARTS: under bf16 autocast the official training compares vectors and entries in bf16; here in float32.
        latents = self.latents(images)
        holistic, patches = self.slot_quantize(latents.holistic), self.quantize(latents.patches)
        rebuilt = self.decode_entries(Latents(holistic.vectors, patches.vectors))
        return Reconstruction(rebuilt, holistic, patches)

    def losses(self, batch: dict, step: int, rng: torch.Generator) -> Iterator[tuple]:
        """Weighted terms of the autoencoder's update, then, once the GAN is on, of the discriminator's.

        With the first come what is watched of the micro-batch's codes: usage and perplexity of both codebooks. The
        first group must have been stepped before the second is asked for. "perceptual" and "gan" are there only while
        they are on. batch["images"] (B, 3, S, S) in [-1, 1]; losses are float32, `rng` is not used.
        """
        images = batch["images"]
        output = self(images)
        adversarial = self.gan_start_step is not None and step >= self.gan_start_step
        real, fake = images.float(), output.images.float()
        full_precision = torch.autocast(images.device.type, enabled=False)
        with full_precision:
            terms = self.terms(real, output._replace(images=fake), adversarial)
        watched = codebook_health(output.patches.codes, self.vocabulary)
        of_holistic = codebook_health(output.holistic.codes, self.vocabulary)
        yield "autoencoder", terms, watched | {f"holistic_{name}": value for name, value in of_holistic.items()}
        if adversarial:
            with full_precision:
                hinge = discriminator_loss(self.discriminator, real, fake)
            # Weighted as in the official code, where it matters for clipping alone.
            yield "discriminator", {"hinge": self.loss_weights["gan"] * hinge}

    def terms(self, images: Tensor, output: Reconstruction, adversarial: bool) -> dict[str, Tensor]:
        """The autoencoder's loss of float32 images (B, 3, S, S), term by term; each codebook's terms are means."""
        weights = self.loss_weights
        terms = {"reconstruction": weights["reconstruction"] * F.mse_loss(output.images, images)}
        if self.perceptual_loss is not None:
            terms["perceptual"] = weights["perceptual"] * self.perceptual_loss(images, output.images)
        pulled = output.holistic, output.patches
        terms["codebook"] = weights["quantizer"] * sum(one.codebook for one in pulled)
        terms["commitment"] = weights["quantizer"] * self.commitment * sum(one.commitment for one in pulled)
        if adversarial:
            terms["gan"] = weights["gan"] * generator_loss(self.discriminator, output.images)
        return terms

    def freeze_encoder(self) -> None:
        """Raises ValueError: the paper has no stage in which the decoder is trained alone."""
        raise ValueError("Hita has no stage in which the decoder is trained alone; remove it from the recipe")

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Trainable parameters of each optimizer: "autoencoder", and "discriminator" where there is one."""
        return adversarial_groups(self)

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Vectors, carriers, positions and codebooks. The official training decays nothing at all."""
        return parameter.ndim < 2 or name.endswith(UNDECAYED)


def _rows(maps: Tensor) -> Tensor:
    """(B, C, G, G) -> (B, M, C)."""
    return maps.flatten(2).transpose(1, 2)


def build(spec: dict) -> Hita:
    """The tokenizer of a resolved recipe: `spec` holds the keywords of Hita."""
    return Hita(**spec)
