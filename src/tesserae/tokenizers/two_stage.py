"""What TiTok (arXiv 2406.07550) and SFTok (arXiv 2512.16910) share: one-dimensional codes, from which the codes of
another tokenizer, MaskGIT's, are predicted, whose decoder then makes images of them.

Training has a stage that learns those codes (TiTok, Sec. 3.3, "proxy codes") and one that learns pixels, with a fixed
encoder. Layers and names are those of TiTok's official code.

Shapes: B images, S image side, G = S / patch side, P = G * G patches, N latent tokens, D width of encoder or decoder,
d width of a code; of the proxy V codes, W their width.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tesserae.losses.adversarial import DiscriminatorSize, adversarial_groups, generator_loss, hinge_loss
from tesserae.losses.blur_discriminator import BlurDiscriminator
from tesserae.losses.lecam import LeCam
from tesserae.losses.perceptual import perceptual_loss
from tesserae.nn.clip_blocks import LatentTransformer, init_layers, learned, spared_from_decay
from tesserae.nn.latent_tokens import place_patches
from tesserae.nn.maskgit_autoencoder import MaskGITDecoder
from tesserae.nn.sizes import TransformerSize
from tesserae.quantizers.vector import Quantized, VectorQuantizer, codebook_health

INIT_STD = 0.02
# What comes from the proxy, and stays until pixels are learned: our parts -> its own.
PROXY = {"pixel_quantize": "quantize", "pixel_decoder": "decoder"}


class LossWeights(TypedDict):
    codes: float
    quantizer: float
    reconstruction: float
    perceptual: float
    gan: float
    lecam: float


class ProxySize(TypedDict):
    """Codebook and decoder of the tokenizer whose codes it learns."""

    channels: int
    multipliers: Sequence[int]
    res_blocks: int
    codebook_size: int
    code_width: int


class Predicted(NamedTuple):
    logits: Tensor  # (B, V, G, G), of the proxy's codes
    quantized: Quantized  # codes (B, N), vectors (B, N, d)
    counted: Tensor | None = None  # (B, P): how much each prediction counts; None: all alike


# ---- layers -----------------------------------------------------------------------------------------------------


class Encoder(LatentTransformer):
    """Pixels (B, 3, S, S) in [0, 1] and the latent tokens (N, D) -> what is quantised, (B, N, d)."""

    def __init__(self, size: TransformerSize, grid: int, patch_size: int, latent_tokens: int, code_width: int):
        super().__init__(size, grid * grid, latent_tokens)
        self.patch_embed = nn.Conv2d(3, size["width"], patch_size, stride=patch_size)
        self.conv_out = nn.Conv2d(size["width"], code_width, 1)

    def forward(self, pixels: Tensor, latent_tokens: Tensor) -> Tensor:
        patches = self.patch_embed(pixels).flatten(2).transpose(1, 2)
        latents = self.ln_post(self.transform(patches, latent_tokens.expand(len(pixels), -1, -1))[1])
        # The official code reads the memory of (N, D) as (D, N) here, without a transposition, which mixes tokens and
        # channels: published weights need it so.
        mixed = latents.reshape(len(pixels), latents.shape[2], -1)
        return F.linear(mixed.transpose(1, 2), self.conv_out.weight.flatten(1), self.conv_out.bias)


class CodeDecoder(LatentTransformer):
    """What stands in the patches' places, and entries of the codebook -> logits (B, V, G, G) of the proxy's codes.

    Subclasses say what stands there.
    """

    def __init__(self, size: TransformerSize, grid: int, latent_tokens: int, code_width: int, codes: int):
        super().__init__(size, grid * grid, latent_tokens)
        width, self.grid = size["width"], grid
        self.decoder_embed = nn.Linear(code_width, width)
        self.ffn = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.Tanh(), nn.Conv2d(2 * width, codes, 1))

    def predict(self, patches: Tensor, vectors: Tensor) -> Tensor:
        """(B, P, D) and (B, N, d) -> (B, V, G, G)."""
        x = self.ln_post(self.transform(patches, self.decoder_embed(vectors))[0])
        return self.ffn(x.transpose(1, 2).unflatten(2, (self.grid, self.grid)))


# ---- the model --------------------------------------------------------------------------------------------------


class TwoStage(nn.Module):
    """A tokenizer around its own decoder and quantizer, and its losses.

    `learns` names the stage: "codes", the first, or "pixels", the second. Both have the same weights, of which the
    first takes codebook and decoder of its proxy and leaves them as they are (`take_proxy`); the second starts from the
    first and leaves the encoder as it is (`freeze_encoder`). `discriminator` and `lecam` are there only in the second
    with `gan_start_step`. The frozen network of the perceptual loss is in no state dict and is read at first use.

    Subclasses bring `Decoder` and `make_quantizer`; `forward(images, codes, rng)`, the training path, where `codes` are
    the proxy's in the first stage and None in the second; and `decoded(vectors, codes)`, which makes logits
    (B, V, G, G) at use.
    """

    Decoder: type[CodeDecoder]

    TRAINING_ONLY = ("discriminator.", "lecam.")  # prefixes of what is not part of the tokenizer

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        latent_tokens: int,
        codebook_size: int,
        code_width: int,
        encoder: TransformerSize,
        decoder: TransformerSize,
        proxy: ProxySize,
        learns: Literal["codes", "pixels"],
        commitment: float,
        perceptual: Literal["lpips", "convnext", "lite2", "none"],
        loss_weights: LossWeights,
        gan_start_step: int | None,
        discriminator: DiscriminatorSize | None,
    ):
        super().__init__()
        side = 2 ** (len(proxy["multipliers"]) - 1)
        if image_size % patch_size:
            raise ValueError(f"image side {image_size} is not divisible by patch side {patch_size}")
        if patch_size != side:
            raise ValueError(f"a patch has {patch_size} pixels a side, a code of the proxy {side}")
        if learns not in ("codes", "pixels"):
            raise ValueError(f"a tokenizer that learns {learns!r}; choose codes or pixels")
        if learns == "codes" and gan_start_step is not None:
            raise ValueError("a GAN belongs to the stage that learns pixels")
        if gan_start_step is not None and discriminator is None:
            raise ValueError("a GAN start step needs the size of a discriminator")
        self.vocabulary, self.tokens, self.learns = codebook_size, latent_tokens, learns
        self.commitment, self.loss_weights, self.gan_start_step = commitment, dict(loss_weights), gan_start_step
        distance = perceptual_loss(perceptual, loss_weights["perceptual"])
        self.perceptual_loss = distance if learns == "pixels" else None
        grid = image_size // patch_size
        # In this order first weights are drawn; in that of the names below they are initialised.
        from_codes = self.Decoder(decoder, grid, latent_tokens, code_width, proxy["codebook_size"])
        quantizer = self.make_quantizer(codebook_size, code_width)
        self.encoder = Encoder(encoder, grid, patch_size, latent_tokens, code_width)
        self.decoder = from_codes
        self.latent_tokens = learned(latent_tokens, encoder["width"])
        for module in self.modules():
            init_layers(module, INIT_STD)
        self.quantize = quantizer
        self.pixel_quantize = VectorQuantizer(proxy["codebook_size"], proxy["code_width"], clustering=False)
        network = proxy["channels"], proxy["multipliers"], proxy["res_blocks"], proxy["code_width"]
        self.pixel_decoder = MaskGITDecoder(*network)
        if learns == "codes":
            for part in PROXY:
                self.get_submodule(part).requires_grad_(False)
        if gan_start_step is not None:
            self.discriminator, self.lecam = BlurDiscriminator(**discriminator), LeCam()

    @staticmethod
    def make_quantizer(entries: int, width: int) -> nn.Module:
        """The codebook of the latent tokens."""
        raise NotImplementedError

    def place_tokens(self) -> None:
        """Positions of patches start as those of a grid, in both halves."""
        place_patches(self.encoder)
        place_patches(self.decoder)

    def take_proxy(self, weights: Mapping[str, Tensor]) -> None:
        """Copy codebook and decoder from the weights of the tokenizer whose codes it learns, by their names there.

        ValueError for those of another network, before any is copied.
        """
        found = {part: _part(weights, theirs) for part, theirs in PROXY.items()}
        for part, state in found.items():
            if _shapes(state) != _shapes(self.get_submodule(part).state_dict()):
                raise ValueError(f"the proxy's network is not the one that `{part}` was built for; make both again")
        for part, state in found.items():
            self.get_submodule(part).load_state_dict(state)

    # ---- use ----------------------------------------------------------------------------------------------------

    def latents(self, images: Tensor) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> what is quantised, (B, N, d)."""
        return self.encoder(images * 0.5 + 0.5, self.latent_tokens)

    def encode(self, images: Tensor, *, text: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Images (B, 3, S, S) in [-1, 1] -> codes int64 (B, N). Nothing is drawn or read: no `text`, no `rng`."""
        return self.quantize(self.latents(images)).codes

    def decode(self, codes: Tensor) -> Tensor:
        """Codes int64 (B, N) -> images (B, 3, S, S), about [-1, 1], not clamped."""
        # DECISION: in both stages from soft codes, so that the second starts where the first ended; the official codes
        # look at the first stage through hard ones.
        return 2 * self.pixels(self.decoded(self.quantize.lookup(codes), codes)) - 1

    def pixels(self, logits: Tensor) -> Tensor:
        """Logits (B, V, G, G) -> the mean of the proxy's entries -> its decoder's pixels (B, 3, S, S), about [0, 1]."""
        means = torch.einsum("bvhw,vd->bdhw", logits.softmax(dim=1), self.pixel_quantize.embedding.weight)
        return self.pixel_decoder(means)

    # ---- training -----------------------------------------------------------------------------------------------

    def losses(self, batch: dict, step: int, rng: torch.Generator) -> Iterator[tuple]:
        """Weighted terms of the autoencoder's update, then, once the GAN is on, of the discriminator's.

        With the first come, to be watched, usage and perplexity of the codebook in these images, and in the first
        stage the share of the proxy's codes that are predicted. The first group must have been stepped before the
        second is asked for. batch["images"] (B, 3, S, S) in [-1, 1]; in the first stage batch["codes"], those of the
        proxy, int64 (B, P). Losses are float32, of pixels in [0, 1].
        """
        images, codes = batch["images"], batch["codes"] if self.learns == "codes" else None
        output = self(images, codes, rng)
        full_precision = torch.autocast(images.device.type, enabled=False)
        watched = codebook_health(output.quantized.codes, self.vocabulary)
        if codes is not None:
            logits = output.logits.float().flatten(2)
            watched["predicted"] = (logits.argmax(dim=1) == codes).float().mean()
            with full_precision:
                yield "autoencoder", self.code_terms(logits, codes, output), watched
            return
        adversarial = self.gan_start_step is not None and step >= self.gan_start_step
        real, fake = images.float() * 0.5 + 0.5, self.pixels(output.logits).float()
        with full_precision:
            terms = self.pixel_terms(real, fake, adversarial)
        yield "autoencoder", terms, watched
        if adversarial:
            # The discriminator's means are those of one micro-batch, as they are of one process in the official
            # code; LeCam's running means move by the whole batch.
            with full_precision:
                judged = self.discriminator(real), self.discriminator(fake.detach())
                lecam = self.loss_weights["lecam"] * self.lecam(*judged)
            yield "discriminator", {"hinge": hinge_loss(*judged), "lecam": lecam}

    def code_terms(self, logits: Tensor, codes: Tensor, output: Predicted) -> dict[str, Tensor]:
        """The first stage's loss, term by term: logits (B, V, P) and the proxy's codes int64 (B, P)."""
        surprise = F.cross_entropy(logits, codes, reduction="none")
        weights = torch.ones_like(surprise) if output.counted is None else output.counted
        pulled = self.commitment * output.quantized.commitment + output.quantized.codebook
        return {
            "codes": self.loss_weights["codes"] * (surprise * weights).sum() / weights.sum(),
            "quantizer": self.loss_weights["quantizer"] * pulled,
        }

    def pixel_terms(self, real: Tensor, fake: Tensor, adversarial: bool) -> dict[str, Tensor]:
        """The second stage's loss of float32 pixels (B, 3, S, S) in [0, 1], term by term; every one is a mean."""
        weights = self.loss_weights
        terms = {"reconstruction": weights["reconstruction"] * F.mse_loss(fake, real)}
        if self.perceptual_loss is not None:
            terms["perceptual"] = weights["perceptual"] * self.perceptual_loss(2 * real - 1, 2 * fake - 1)
        if adversarial:
            terms["gan"] = weights["gan"] * generator_loss(self.discriminator, fake)
        return terms

    def freeze_encoder(self) -> None:
        """Leave decoder, pixel codebook and pixel decoder to train: codes and codebook stay what they are."""
        self.latent_tokens.requires_grad_(False)
        self.encoder.requires_grad_(False)
        self.quantize.requires_grad_(False)

    def parameter_groups(self) -> dict[str, list[tuple[str, nn.Parameter]]]:
        """Trainable parameters of each optimizer: "autoencoder", and "discriminator" where there is one."""
        return adversarial_groups(self)

    def no_weight_decay(self, name: str, parameter: nn.Parameter) -> bool:
        """Vectors, norms, tokens, positions, the codebooks and everything called an embedding (official code)."""
        return spared_from_decay(name, parameter)


def _part(weights: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}."): x for name, x in weights.items() if name.startswith(f"{part}.")}


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}
